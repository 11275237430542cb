//! How much two pictures of a page differ, found by the browser that drew them.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::Browser;

/// How much two pictures of the same size differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureDifference {
    /// The share of pixels of which a person sees that they differ, from 0 to 1.
    pub share: f64,
}

/// Counts the pixels of which a channel differs by more than the edge of a letter does that is drawn by another
/// version of the same library.
const COMPARE: &str = r#"
const read = async (encoded) => {
  const picture = new Image();
  picture.src = "data:image/png;base64," + encoded;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
};
return Promise.all([read(arguments[0]), read(arguments[1])]).then(([left, right]) => {
  const sizes = [left.width, left.height, right.width, right.height];
  if (left.width !== right.width || left.height !== right.height) return { sizes };
  let different = 0;
  for (let at = 0; at < left.data.length; at += 4) {
    const gap = Math.max(...[0, 1, 2].map((channel) => Math.abs(left.data[at + channel] - right.data[at + channel])));
    if (gap > 48) different += 1;
  }
  return { sizes, different };
});
"#;

impl Browser {
    /// Compares two PNG pictures, on an empty page. Pictures of different sizes are an error.
    pub fn compare(&self, left: &[u8], right: &[u8]) -> Result<PictureDifference> {
        self.open("about:blank")?;
        let pictures = [left, right].map(|picture| json!(BASE64_STANDARD.encode(picture)));
        let answer = self.evaluate_with(COMPARE, &pictures)?;
        let sizes: Vec<f64> = answer
            .get("sizes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        let [width, height, ..] = sizes.as_slice() else {
            return Err(anyhow::anyhow!("no picture: {answer}"));
        };
        let different = answer.get("different").and_then(Value::as_f64);
        ensure!(different.is_some(), "one picture is {width} by {height}, the sizes are {sizes:?}");
        Ok(PictureDifference { share: different.context("no answer")? / (width * height) })
    }
}
