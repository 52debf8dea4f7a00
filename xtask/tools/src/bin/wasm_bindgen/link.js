// Loads the parts of the page's WebAssembly. Each file is an instance on the main part's memory and function table.
let main;
export const attach = (exports) => { main = exports; };
const files = new Map();
const instance = (file) => {
  if (!files.has(file)) {
    const url = new URL(`../../parts/${file}`, import.meta.url);
    const loading = WebAssembly.instantiateStreaming(fetch(url), { __wasm_split: main });
    files.set(file, loading);
    // Only what succeeded is remembered, so that asking again tries again.
    loading.catch(() => files.delete(file));
  }
  return files.get(file);
};
const loader = (names) => async (callback, data) => {
  let loaded = true;
  try {
    await Promise.all(names.map(instance));
  } catch (error) {
    console.error(error);
    loaded = false;
  }
  main.__indirect_function_table.get(callback)(data, loaded);
};
