//! How much a change unfolds to, found out without unfolding it.
//!
//! A change's operations are columns, mostly run-length encoded: ten bytes can
//! stand for 2⁶⁰ operations, which Automerge walks one by one before it looks
//! at anything else. So the runs are added up first. The layout is that of
//! change chunks in the specification of Automerge's binary format
//! (<https://automerge.org/automerge-binary-format-spec/>).

use crate::reader::{ReadError, Reader};

/// The most items of a column, and so the most operations of a change.
pub const OPERATIONS_MAX: u64 = 1 << 16;
/// The most bytes that a column of strings unfolds to.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// The most columns; the format knows fewer than twenty.
const COLUMNS_MAX: u64 = 64;
/// A column's specification holds its type in the lowest three bits.
const TYPE_MASK: u64 = 0b111;
/// And in the fourth, whether it is deflated, which a change may not use.
const DEFLATED: u64 = 0b1000;
const GROUP: u64 = 0;
const BOOLEAN: u64 = 4;
const STRING: u64 = 5;
const VALUES: u64 = 7;
/// The column of what operations do, and the number of "mark" in it.
const ACTIONS: u64 = 0x42;
const MARK: u8 = 7;

/// A change unfolds to too much, or its columns can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// Not columns of a change.
    #[error(transparent)]
    Malformed(#[from] ReadError),
    /// More columns than the format knows.
    #[error("a change has {0} columns")]
    Columns(u64),
    /// A deflated column, which changes may not have.
    #[error("a change has a deflated column")]
    Deflated,
    /// Too many operations.
    #[error("a column unfolds to more than {OPERATIONS_MAX} items")]
    Operations,
    /// Too much text.
    #[error("a column unfolds to more than {TEXT_BYTES_MAX} bytes")]
    Text,
}

/// What a walk over a change's columns shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether it has operations that begin or end a mark of rich text.
    pub marks: bool,
}

/// Checks the contents of a change chunk, what follows its header.
///
/// # Errors
/// When it unfolds to more than a change may, or can't be walked.
pub fn check(contents: &[u8]) -> Result<Shape, ColumnError> {
    let mut shape = Shape::default();
    let mut reader = Reader::new(contents);
    let parents = reader.unsigned()?;
    reader.take(parents.checked_mul(32).ok_or(ReadError)?)?;
    reader.prefixed()?; // actor
    reader.unsigned()?; // number
    reader.unsigned()?; // first operation
    reader.signed()?; // time
    reader.prefixed()?; // message
    for _ in 0..reader.unsigned()? {
        reader.prefixed()?; // another actor
    }
    let count = reader.unsigned()?;
    if count > COLUMNS_MAX {
        return Err(ColumnError::Columns(count));
    }
    let columns = (0..count)
        .map(|_| Ok((reader.unsigned()?, reader.unsigned()?)))
        .collect::<Result<Vec<_>, ReadError>>()?;
    for (specification, length) in columns {
        let column = Reader::new(reader.take(length)?);
        if specification & DEFLATED != 0 {
            return Err(ColumnError::Deflated);
        }
        match specification & TYPE_MASK {
            BOOLEAN => booleans(column)?,
            // The lengths of values are in a column of their own, so that
            // every byte that a value has is in the change.
            VALUES => {}
            kind => {
                let marks = runs(column, kind)? && specification == ACTIONS;
                shape.marks |= marks;
            }
        }
    }
    Ok(shape)
}

/// Runs of false and true in turn.
fn booleans(mut column: Reader<'_>) -> Result<(), ColumnError> {
    let mut items = 0;
    while !column.is_empty() {
        add(&mut items, column.unsigned()?)?;
    }
    Ok(())
}

/// Runs: a positive length and the value that repeats; a negative one and so
/// many values; zero, and how many nulls.
fn runs(mut column: Reader<'_>, kind: u64) -> Result<bool, ColumnError> {
    let mut marks = false;
    let (mut items, mut grouped, mut text) = (0, 0, 0_u64);
    while !column.is_empty() {
        let length = column.signed()?;
        let repeated = length.unsigned_abs();
        if length == 0 {
            add(&mut items, column.unsigned()?)?;
            continue;
        }
        add(&mut items, repeated)?;
        let (values, times) = if length > 0 {
            (1, repeated)
        } else {
            (repeated, 1)
        };
        for _ in 0..values {
            match kind {
                STRING => {
                    let bytes = column.prefixed()?.len() as u64;
                    text = text.saturating_add(bytes.saturating_mul(times));
                    if text > TEXT_BYTES_MAX {
                        return Err(ColumnError::Text);
                    }
                }
                GROUP => add(&mut grouped, column.unsigned()?.saturating_mul(times))?,
                // Signed or not, a number ends with the same byte.
                _ => {
                    let mut byte = column.byte()?;
                    marks |= byte & 0x7f == MARK;
                    while byte & 0x80 != 0 {
                        byte = column.byte()?;
                    }
                }
            }
        }
    }
    Ok(marks)
}

fn add(items: &mut u64, more: u64) -> Result<(), ColumnError> {
    *items = items.saturating_add(more);
    if *items > OPERATIONS_MAX {
        return Err(ColumnError::Operations);
    }
    Ok(())
}
