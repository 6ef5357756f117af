//! Reading and writing the packed bytes of a block. Every read may fail, and a failed read covers nothing (invariant 7).

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (taken, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Bytes behind their own length.
    pub(super) fn counted_u8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    /// Bytes behind their own length.
    pub(super) fn counted_u16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes bytes behind their length, or nothing at all if they are too long for it.
pub(super) fn put_counted_u8(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(length) = u8::try_from(bytes.len()) {
        out.push(length);
        out.extend_from_slice(bytes);
    }
}

/// Writes bytes behind their length, or an empty text in their place if they are too long for it.
pub(super) fn put_counted_u16(out: &mut Vec<u8>, bytes: &[u8]) {
    let (length, bytes) = u16::try_from(bytes.len()).map_or((0, [].as_slice()), |length| (length, bytes));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}
