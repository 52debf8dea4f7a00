//! What crosses between the page and the Worker: two enums of plain data, as Borsh in a transferred `Uint8Array`.
//!
//! Both sides are one program, so the bytes need no field names, and Borsh is quick to write and read.
//! A `File` cannot be written so; it rides beside the bytes in the same message (`{ data, file }`).

use crate::state::{Link, Trouble};
use borsh::{BorshDeserialize, BorshSerialize};
use dropscope_core::query::{Answer, Progress, Query};
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

/// To the Worker.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum ToWorker {
    /// Forget what is open and read this.
    Open {
        /// The session this is; every message back names it.
        session: u32,
        /// What.
        opening: Opening,
    },
    /// Answer a question.
    Ask {
        /// The session it is about.
        session: u32,
        /// Who asks: a newer question of the same slot takes the place of an older one that still waits.
        slot: u32,
        /// Which of that slot's questions this is.
        number: u32,
        /// The question.
        query: Query,
    },
    /// Read no further; what was read stays.
    Stop,
    /// Forget what is open.
    Close,
}

/// What to read.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum Opening {
    /// The file that rides beside this message.
    File,
    /// The reference case.
    Reference,
    /// A capture of the server this page came from, live or stored.
    Capture {
        /// `ws://host/api/captures/ID/live`; the Worker adds the offset.
        url: String,
        /// The token for it.
        token: String,
    },
}

/// To the page.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub enum ToPage {
    /// The Worker listens now.
    Ready,
    /// How far reading has come.
    Progress {
        /// The session.
        session: u32,
        /// How far.
        progress: Progress,
    },
    /// An answer.
    Answer {
        /// The session it is about.
        session: u32,
        /// Who asked.
        slot: u32,
        /// Which of that slot's questions.
        number: u32,
        /// The answer.
        answer: Box<Answer>,
    },
    /// The connection changed.
    Link {
        /// The session.
        session: u32,
        /// How it is.
        link: Link,
    },
    /// Something went wrong; reading ended there, the rest stays usable.
    Trouble {
        /// The session.
        session: u32,
        /// What.
        trouble: Trouble,
    },
    /// The Worker panicked with these words and is of no more use.
    Panicked {
        /// Its words.
        why: String,
    },
}

/// The JavaScript value to post and the list of buffers to transfer with it.
pub fn pack<T: BorshSerialize>(message: &T, file: Option<&web_sys::Blob>) -> Result<(JsValue, Array), JsValue> {
    let data = borsh::to_vec(message).map_err(|e| JsValue::from_str(&e.to_string()))?;
    let data = Uint8Array::from(data.as_slice());
    let object = Object::new();
    Reflect::set(&object, &"data".into(), &data)?;
    if let Some(file) = file {
        Reflect::set(&object, &"file".into(), file)?;
    }
    Ok((object.into(), Array::of1(&data.buffer())))
}

/// The message in a posted value, and the file beside it.
pub fn unpack<T: BorshDeserialize>(value: &JsValue) -> Result<(T, Option<web_sys::Blob>), String> {
    let field = |name: &str| Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let data: Uint8Array = field("data").dyn_into().map_err(|_| "a message without its bytes".to_owned())?;
    let message = borsh::from_slice(&data.to_vec()).map_err(|e| format!("a message that cannot be read: {e}"))?;
    Ok((message, field("file").dyn_into().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_as_they_were_written() {
        let messages = [
            ToWorker::Open { session: 1, opening: Opening::Reference },
            ToWorker::Open { session: 2, opening: Opening::Capture { url: "ws://x/y".into(), token: "t".into() } },
            ToWorker::Ask { session: 2, slot: 7, number: 3, query: Query::Findings },
            ToWorker::Stop,
        ];
        for message in messages {
            let bytes = borsh::to_vec(&message).expect("plain data");
            assert_eq!(borsh::from_slice::<ToWorker>(&bytes).expect("its own bytes"), message);
        }
        let answer = ToPage::Answer { session: 1, slot: 2, number: 3, answer: Box::new(Answer::Refused { why: "No.".into() }) };
        let bytes = borsh::to_vec(&answer).expect("plain data");
        assert_eq!(borsh::from_slice::<ToPage>(&bytes).expect("its own bytes"), answer);
    }
}
