//! What newer Envoys know beyond the crate: fields, values and messages that are added to its files.
//!
//! Comes in: the crate's parsed files, and ours below `proto/newer/`, each named as the file that it adds to.
//! Goes out: the same files with the additions. A field of ours with a number of theirs takes its place, for
//! what was renamed or loosened. Keeps the invariant that nothing is added that the crate has by now.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

/// Where the additions lie, below `proto/`.
pub const FOLDER: &str = "newer/";

/// Files of the crate that went under another name before there was an Envoy with them; what used them has additions.
const GONE: [&str; 1] = ["envoy/type/ai/v3/api_protocol.proto"];

/// Adds to each file what ours of its name holds.
pub fn add(
    additions: &BTreeMap<String, FileDescriptorProto>,
    files: &mut BTreeMap<String, FileDescriptorProto>,
) -> Result<()> {
    for gone in GONE {
        files
            .remove(gone)
            .with_context(|| format!("{gone} is gone from the crate, too: remove its name here"))?;
        for file in files.values_mut().filter(|file| file.public_dependency.is_empty()) {
            file.dependency.retain(|import| import != gone);
        }
    }
    for (name, ours) in additions {
        let file = files
            .get_mut(name)
            .with_context(|| format!("{FOLDER}{name}: there is no such file to add to"))?;
        for import in &ours.dependency {
            if !file.dependency.contains(import) {
                file.dependency.push(import.clone());
            }
        }
        let inside = messages(&ours.message_type, &mut file.message_type)
            .and_then(|()| enums(&ours.enum_type, &mut file.enum_type));
        inside.with_context(|| format!("{FOLDER}{name}"))?;
    }
    Ok(())
}

fn messages(ours: &[DescriptorProto], theirs: &mut Vec<DescriptorProto>) -> Result<()> {
    for message in ours {
        let Some(known) = theirs.iter_mut().find(|known| known.name() == message.name()) else {
            theirs.push(message.clone());
            continue;
        };
        for field in &message.field {
            let same = known.field.iter_mut().find(|known| known.number() == field.number());
            match same {
                None => known.field.push(field.clone()),
                Some(same) => {
                    // Their type names are relative as they were written, ours are whole.
                    let is_theirs = same.name() == field.name()
                        && same.options == field.options
                        && field.type_name().ends_with(same.type_name());
                    ensure!(!is_theirs, "{}.{} is known by now: remove it", message.name(), field.name());
                    *same = field.clone();
                }
            }
        }
        messages(&message.nested_type, &mut known.nested_type)?;
        enums(&message.enum_type, &mut known.enum_type)?;
    }
    Ok(())
}

fn enums(ours: &[EnumDescriptorProto], theirs: &mut Vec<EnumDescriptorProto>) -> Result<()> {
    for ty in ours {
        let Some(known) = theirs.iter_mut().find(|known| known.name() == ty.name()) else {
            theirs.push(ty.clone());
            continue;
        };
        for value in &ty.value {
            let is_theirs = known.value.iter().any(|known| known.number() == value.number());
            ensure!(!is_theirs, "{}.{} is known by now: remove it", ty.name(), value.name());
            known.value.push(value.clone());
        }
    }
    Ok(())
}
