//! Values in the binary form of the protocol. Nothing is rounded: decimals and large numbers are texts.

use super::packet::{Reader, Writer};

/// A value, in a row or for a question mark.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Whole(i64),
    Real(f64),
    Bytes(Vec<u8>),
}

impl Cell {
    pub fn bytes(&self) -> usize {
        if let Self::Bytes(bytes) = self { bytes.len() } else { 8 }
    }

    fn text(text: impl Into<String>) -> Self {
        Self::Bytes(text.into().into_bytes())
    }
}

/// Types by their numbers.
mod kind {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const VAR_STRING: u8 = 253;
}

/// A column of an answer.
pub(super) struct Column {
    pub name: String,
    kind: u8,
    unsigned: bool,
}

impl Column {
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        const UNSIGNED: u16 = 1 << 5;
        for _ in 0..4 {
            reader.counted()?; // catalogue, schema, table, its own name
        }
        let name = String::from_utf8_lossy(reader.counted()?).into_owned();
        reader.counted()?;
        reader.length()?;
        reader.bytes(6)?; // character set and width
        let (kind, flags) = (reader.u8()?, reader.u16()?);
        Some(Self { name, kind, unsigned: flags & UNSIGNED != 0 })
    }
}

/// Writes the values for `count` question marks.
pub(super) fn write(writer: &mut Writer, params: &[Cell], count: usize) {
    if count == 0 {
        return;
    }
    let get = |index: usize| params.get(index).unwrap_or(&Cell::Null);
    let mut nulls = vec![0_u8; count.div_ceil(8)];
    for index in (0..count).filter(|index| *get(*index) == Cell::Null) {
        nulls[index / 8] |= 1 << (index % 8);
    }
    writer.bytes(&nulls).u8(1);
    for index in 0..count {
        let kind = match get(index) {
            Cell::Null => kind::NULL,
            Cell::Bool(_) => kind::TINY,
            Cell::Whole(_) => kind::LONGLONG,
            Cell::Real(_) => kind::DOUBLE,
            Cell::Bytes(_) => kind::VAR_STRING,
        };
        writer.bytes(&[kind, 0]);
    }
    for index in 0..count {
        match get(index) {
            Cell::Null => {}
            Cell::Bool(value) => drop(writer.u8(u8::from(*value))),
            Cell::Whole(value) => drop(writer.bytes(&value.to_le_bytes())),
            Cell::Real(value) => drop(writer.bytes(&value.to_le_bytes())),
            Cell::Bytes(value) => drop(writer.counted(value)),
        }
    }
}

/// Reads a row; none where it is malformed.
pub(super) fn row(packet: &[u8], columns: &[Column]) -> Option<Vec<Cell>> {
    let mut reader = Reader(packet.get(1..)?);
    // The first two bits of the map are not used.
    let nulls = reader.bytes((columns.len() + 9) / 8)?;
    let is_null = |index: usize| nulls[(index + 2) / 8] >> ((index + 2) % 8) & 1 == 1;
    let cells = columns.iter().enumerate();
    cells.map(|(index, column)| if is_null(index) { Some(Cell::Null) } else { cell(&mut reader, column) }).collect()
}

fn cell(reader: &mut Reader<'_>, column: &Column) -> Option<Cell> {
    let whole = |signed: i64, unsigned: u64| {
        let value = if column.unsigned { i128::from(unsigned) } else { i128::from(signed) };
        i64::try_from(value).map_or_else(|_| Cell::text(value.to_string()), Cell::Whole)
    };
    Some(match column.kind {
        kind::NULL => Cell::Null,
        kind::TINY => {
            let byte = reader.u8()?;
            whole(i64::from(byte.cast_signed()), u64::from(byte))
        }
        kind::SHORT | kind::YEAR => {
            let value = reader.u16()?;
            whole(i64::from(value.cast_signed()), u64::from(value))
        }
        kind::LONG | kind::INT24 => {
            let value = reader.u32()?;
            whole(i64::from(value.cast_signed()), u64::from(value))
        }
        kind::LONGLONG => {
            let value = u64::from_le_bytes(reader.array()?);
            whole(value.cast_signed(), value)
        }
        // By its own digits: as a double it would show ones that nobody wrote.
        kind::FLOAT => Cell::Real(f32::from_le_bytes(reader.array()?).to_string().parse().ok()?),
        kind::DOUBLE => Cell::Real(f64::from_le_bytes(reader.array()?)),
        kind::DATE | kind::DATETIME | kind::TIMESTAMP => Cell::text(date(reader, column.kind == kind::DATE)?),
        kind::TIME => Cell::text(time(reader)?),
        _ => Cell::Bytes(reader.counted()?.to_vec()),
    })
}

/// `2026-11-25 10:00:00`, with as many digits of a second as there are.
fn date(reader: &mut Reader<'_>, day_only: bool) -> Option<String> {
    let length = reader.u8()?;
    let (year, month, day) = if length >= 4 { (reader.u16()?, reader.u8()?, reader.u8()?) } else { (0, 0, 0) };
    let [hour, minute, second] = if length >= 7 { reader.array()? } else { [0; 3] };
    let micros = if length >= 11 { reader.u32()? } else { 0 };
    let text = format!("{year:04}-{month:02}-{day:02}");
    Some(if day_only { text } else { format!("{text} {hour:02}:{minute:02}:{second:02}{}", fraction(micros)) })
}

/// `-12:34:56`.
fn time(reader: &mut Reader<'_>) -> Option<String> {
    let length = reader.u8()?;
    if length == 0 {
        return Some("00:00:00".to_owned());
    }
    let (negative, days) = (reader.u8()? != 0, reader.u32()?);
    let [hour, minute, second] = reader.array()?;
    let micros = if length >= 12 { reader.u32()? } else { 0 };
    let hours = u64::from(days) * 24 + u64::from(hour);
    Some(format!("{}{hours:02}:{minute:02}:{second:02}{}", if negative { "-" } else { "" }, fraction(micros)))
}

fn fraction(micros: u32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}") }
}
