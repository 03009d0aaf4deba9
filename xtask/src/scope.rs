//! Makes the type names in parsed `.proto` files absolute, as protoc resolves them.
//!
//! The linker behind protox (prost-reflect 0.16) takes the innermost package that carries the first
//! part of a relative name, even if no imported file belongs to it: inside
//! `envoy.extensions.filters…`, `config.core.v3.Node` would mean `envoy.extensions.config…`, and a
//! quarter of Envoy's files would not link. Names that are absolute already leave no choice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

type Files = BTreeMap<String, FileDescriptorProto>;

/// Rewrites every type name of every file.
pub fn make_names_absolute(files: &mut Files) -> Result<()> {
    let defined: BTreeMap<String, BTreeSet<String>> =
        files.iter().map(|(name, file)| (name.clone(), types_of(file))).collect();
    let reachable: BTreeMap<String, BTreeSet<String>> = files
        .iter()
        .map(|(name, file)| Ok((name.clone(), visible_files(name, file, files)?)))
        .collect::<Result<_>>()?;
    for (name, file) in files.iter_mut() {
        let visible = Visible(reachable[name].iter().map(|file| &defined[file]).collect());
        visible.resolve_file(file).with_context(|| format!("in {name}"))?;
    }
    Ok(())
}

/// The file itself, what it imports, and what those import publicly.
fn visible_files(name: &str, file: &FileDescriptorProto, files: &Files) -> Result<BTreeSet<String>> {
    let mut visible = BTreeSet::from([name.to_owned()]);
    let mut pending = file.dependency.clone();
    while let Some(import) = pending.pop() {
        let imported =
            files.get(&import).with_context(|| format!("{name} imports {import}, which is missing"))?;
        let public = imported
            .public_dependency
            .iter()
            .filter_map(|at| imported.dependency.get(usize::try_from(*at).ok()?));
        if visible.insert(import.clone()) {
            pending.extend(public.cloned());
        }
    }
    Ok(visible)
}

/// The full names of all messages and enums that a file defines.
fn types_of(file: &FileDescriptorProto) -> BTreeSet<String> {
    fn add(
        scope: &str,
        messages: &[DescriptorProto],
        enums: &[EnumDescriptorProto],
        names: &mut BTreeSet<String>,
    ) {
        names.extend(enums.iter().map(|item| join(scope, item.name())));
        for message in messages {
            let name = join(scope, message.name());
            add(&name, &message.nested_type, &message.enum_type, names);
            names.insert(name);
        }
    }
    let mut names = BTreeSet::new();
    add(file.package(), &file.message_type, &file.enum_type, &mut names);
    names
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// The type names that a file can see, by file.
struct Visible<'a>(Vec<&'a BTreeSet<String>>);

impl Visible<'_> {
    fn resolve_file(&self, file: &mut FileDescriptorProto) -> Result<()> {
        let package = file.package().to_owned();
        for message in &mut file.message_type {
            self.resolve_message(&package, message)?;
        }
        for field in &mut file.extension {
            self.resolve_field(&package, field)?;
        }
        for method in file.service.iter_mut().flat_map(|service| &mut service.method) {
            self.resolve_name(&package, &mut method.input_type)?;
            self.resolve_name(&package, &mut method.output_type)?;
        }
        Ok(())
    }

    fn resolve_message(&self, scope: &str, message: &mut DescriptorProto) -> Result<()> {
        let scope = join(scope, message.name());
        for nested in &mut message.nested_type {
            self.resolve_message(&scope, nested)?;
        }
        for field in message.field.iter_mut().chain(&mut message.extension) {
            self.resolve_field(&scope, field)?;
        }
        Ok(())
    }

    fn resolve_field(&self, scope: &str, field: &mut FieldDescriptorProto) -> Result<()> {
        self.resolve_name(scope, &mut field.type_name)?;
        self.resolve_name(scope, &mut field.extendee)
    }

    /// Looks in the scope itself, then outwards.
    fn resolve_name(&self, scope: &str, name: &mut Option<String>) -> Result<()> {
        let Some(relative) = name.as_deref().filter(|name| !name.starts_with('.')) else {
            return Ok(());
        };
        let mut scope = Some(scope);
        while let Some(here) = scope {
            let candidate = join(here, relative);
            if self.0.iter().any(|types| types.contains(&candidate)) {
                *name = Some(format!(".{candidate}"));
                return Ok(());
            }
            scope = match here.rsplit_once('.') {
                Some((outer, _)) => Some(outer),
                None if here.is_empty() => None,
                None => Some(""),
            };
        }
        anyhow::bail!("{relative} is not defined in any imported file")
    }
}
