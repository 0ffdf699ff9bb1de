//! Frame lists: the frames of a volume that hold a stream, in few bytes.

use super::LIST_BYTES_MAX;
use crate::format::Malformed;

/// A list that grows while its volume is written.
#[derive(Debug, Clone)]
pub(crate) struct FrameList {
    /// The list as it is stored; `None` when it became too long.
    bytes: Option<Vec<u8>>,
    /// What the next frame's first sequence is stored less of.
    last: u64,
}

impl FrameList {
    /// The list of a stream that was found in a first frame.
    pub(crate) fn starting(volume_first_seq: u64, frame: u64) -> Self {
        let mut bytes = Vec::with_capacity(2);
        push_integer(&mut bytes, frame - volume_first_seq);
        Self {
            bytes: Some(bytes),
            last: frame,
        }
    }

    /// Notes that a frame holds the stream; frames come in order.
    pub(crate) fn push(&mut self, frame: u64) {
        if frame == self.last {
            return;
        }
        if let Some(bytes) = &mut self.bytes {
            push_integer(bytes, frame - self.last);
            if bytes.len() > LIST_BYTES_MAX {
                self.bytes = None;
            }
        }
        self.last = frame;
    }

    /// The list as it is stored; empty if it is left out.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

/// The frames of a stored list that is not empty.
pub(crate) fn read_list(bytes: &[u8], volume_first_seq: u64) -> Result<Vec<u64>, Malformed> {
    let bad = Malformed("frame list is damaged");
    let mut frames = Vec::new();
    let mut last = volume_first_seq;
    let (mut value, mut shift) = (0_u64, 0);
    for byte in bytes {
        if shift > 63 {
            return Err(bad);
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.checked_add(value).ok_or(bad)?;
            frames.push(last);
            (value, shift) = (0, 0);
        }
    }
    if shift == 0 { Ok(frames) } else { Err(bad) }
}

fn push_integer(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_as_it_was_written() {
        let frames = [1_000, 1_001, 1_300, 1_300, 90_000, u64::MAX];
        let mut list = FrameList::starting(1_000, frames[0]);
        frames.iter().for_each(|frame| list.push(*frame));
        let read = read_list(list.as_bytes(), 1_000);
        assert_eq!(read, Ok(vec![1_000, 1_001, 1_300, 90_000, u64::MAX]));
        let cut = &list.as_bytes()[..list.as_bytes().len() - 1];
        assert!(read_list(cut, 1_000).is_err());
        assert!(read_list(list.as_bytes(), 1_001).is_err());
    }

    #[test]
    fn a_long_list_is_left_out() {
        let mut list = FrameList::starting(0, 0);
        (1..LIST_BYTES_MAX as u64).for_each(|frame| list.push(frame));
        assert_eq!(list.as_bytes().len(), LIST_BYTES_MAX);
        list.push(LIST_BYTES_MAX as u64);
        assert!(list.as_bytes().is_empty());
    }
}
