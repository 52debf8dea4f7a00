// Starts the engine's half of the one wasm module: the page sends the glue's address and the compiled module.
onmessage = async (event) => {
  onmessage = null;
  const { js, module } = event.data;
  const glue = await import(js);
  await glue.default({ module_or_path: module });
};
