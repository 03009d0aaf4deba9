//! `schema`: what editors are told of a file, as JSON Schema (2020-12).

use super::args::{Schema, SchemaOf};
use super::settings::show;
use super::{Exit, output};

pub fn run(command: &Schema) -> Exit {
    let schema = match command.of {
        SchemaOf::Settings => show::schema(),
    };
    output::print(&format!("{schema:#}\n"));
    Exit::Done
}
