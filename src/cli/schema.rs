//! `schema`: what editors are told of a file, as JSON Schema (2020-12).

use anyhow::Result;

use super::args::{Schema, SchemaOf};
use super::settings::{Given, show};
use super::{Exit, output};
use crate::schema;

pub fn run(given: &Given, command: &Schema) -> Result<Exit> {
    // The smaller, the sooner an editor has read it: no blanks.
    output::document(&match command.of {
        SchemaOf::Settings => format!("{}\n", show::schema()),
        SchemaOf::Fragment => format!("{}\n", schema::fragment(&given.settings()?.api()?)),
    })?;
    Ok(Exit::Done)
}
