//! What an Envoy means: from the words of a refusal to what is to be looked for in a fragment.
//!
//! Comes in: the message, and the name of the resource. Goes out: a path and words, the most telling
//! first, or the file that it would need. Pure.

use std::sync::LazyLock;

use regex::Regex;

use crate::load::{Step, Wanted};

/// What a refusal is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Where in the resource.
    pub wanted: Wanted,
    /// What it needs and this machine does not have.
    pub needs: Option<String>,
}

/// What this message about a resource of this name means.
pub fn meaning(message: &str, name: &str) -> Meaning {
    Meaning { wanted: Wanted { steps: steps(message), words: words(message, name) }, needs: needs(message) }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("it is written here and tested")
}

/// `… @ static_resources.clusters[0].load_assignment.endpoints[0]: message …`: what stands behind the
/// resource. What is in an `Any` is `<any>`.
fn steps(message: &str) -> Vec<Step> {
    static PATH: LazyLock<Regex> =
        LazyLock::new(|| regex(r"@\s+static_resources\.\w+\[\d+\](?:\.([\w.<>\[\]@-]+))?"));
    static CAUSE: LazyLock<Regex> = LazyLock::new(|| regex(r"(\w+)ValidationError\.(\w+)(?:\[(\d+)\])?:"));
    if let Some(path) = PATH.captures(message).and_then(|found| found.get(1)) {
        return path.as_str().split('.').filter(|part| *part != "<any>").flat_map(path_step).collect();
    }
    // `caused by ClusterValidationError.LoadAssignment: … | caused by …Endpoints[0]: …`
    let causes = CAUSE.captures_iter(message).map(|cause| {
        let index = cause.get(3).and_then(|index| index.as_str().parse().ok()).map(Step::Index);
        (cause[1].to_owned(), [Some(Step::Field(cause[2].to_owned())), index])
    });
    let within = causes
        .skip_while(|(ty, _)| matches!(&**ty, "Bootstrap" | "Bootstrap_StaticResources" | "StaticResources"));
    within.flat_map(|(_, steps)| steps.into_iter().flatten()).collect()
}

fn path_step(part: &str) -> Vec<Step> {
    let mut pieces = part.split('[');
    let field = pieces.next().filter(|field| !field.is_empty()).map(|field| Step::Field(field.to_owned()));
    let index = |piece: &str| piece.trim_end_matches(']').parse().ok().map(Step::Index);
    field.into_iter().chain(pieces.filter_map(index)).collect()
}

/// What it quotes, and what looks like a name.
fn words(message: &str, name: &str) -> Vec<String> {
    static FIELD: LazyLock<Regex> = LazyLock::new(|| regex(r"no\s+such\s+field:\s*'([^']+)'"));
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| regex(r#"'([^']+)'|"([^"]+)"|`([^`]+)`"#));
    static CAUSE: LazyLock<Regex> = LazyLock::new(|| regex(r"ValidationError\.(\w+)"));
    static NAMELIKE: LazyLock<Regex> = LazyLock::new(|| regex(r"[\w./:*@-]*[A-Z0-9_/*][\w./:*@-]*"));
    let mut words: Vec<String> = Vec::new();
    let mut add = |word: &str| {
        let word = word.trim_end_matches(['.', ':']);
        if word.len() > 1 && word != name && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    };
    FIELD.captures_iter(message).for_each(|found| add(&found[1]));
    if let Some(last) = CAUSE.captures_iter(message).last() {
        add(&last[1]);
    }
    for found in QUOTED.captures_iter(message) {
        found.iter().skip(1).flatten().for_each(|quoted| add(quoted.as_str()));
    }
    NAMELIKE.find_iter(message).map(|found| found.as_str()).filter(|word| is_name(word)).for_each(add);
    words
}

/// Whether this is no word of a sentence.
fn is_name(word: &str) -> bool {
    word.bytes().filter(u8::is_ascii_uppercase).count() > 1
        || word.trim_end_matches(['.', ':']).contains(['_', '/', '*', '.', ':', '@'])
        || word.bytes().any(|byte| byte.is_ascii_digit())
}

/// The file, directory or module that is missing here.
fn needs(message: &str) -> Option<String> {
    static MISSING: LazyLock<Regex> = LazyLock::new(|| {
        regex(concat!(
            r"Invalid path: ([^\s']+)",
            r"|unable to open file '([^']+)'",
            r"|existing path in the system: '([^']+)'",
            r"|filesystem watch for file ([^\s:]+)",
            r"|module '([^']+)' not found",
            r"|dynamic module: ([^\s:]+) not found",
            r"|unable to read file: ([^\s:]+)",
            r"|from path: ([^\s:]+)",
        ))
    });
    let found = MISSING.captures(message)?;
    found.iter().skip(1).flatten().next().map(|path| path.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Step {
        Step::Field(name.to_owned())
    }

    #[test]
    fn a_path_of_the_json_reader_is_followed_behind_the_resource() {
        let said = "Protobuf message (type envoy.config.bootstrap.v3.Bootstrap reason INVALID_ARGUMENT: invalid JSON in \
                    envoy.config.bootstrap.v3.Bootstrap  @   static_resources.listeners[0].filter_chains[1].filters[0].typed_config.<any>.x: \
                    message  envoy.X, near  1:1 (offset 0): no   such field:  'allow_paths') has unknown fields";
        let Meaning { wanted, needs } = meaning(said, "l");
        let expected = [
            field("filter_chains"),
            Step::Index(1),
            field("filters"),
            Step::Index(0),
            field("typed_config"),
            field("x"),
        ];
        assert_eq!(wanted.steps, expected);
        assert_eq!((wanted.words[0].as_str(), needs), ("allow_paths", None));
    }

    #[test]
    fn a_chain_of_causes_is_a_path_too() {
        let said = "Proto constraint validation failed (BootstrapValidationError.StaticResources: embedded message failed \
                    validation | caused by Bootstrap_StaticResourcesValidationError.Clusters[0]: embedded message failed \
                    validation | caused by ClusterValidationError.ConnectTimeout: value must be greater than 0s)";
        let wanted = meaning(said, "c").wanted;
        assert_eq!(wanted.steps, [field("ConnectTimeout")]);
        assert_eq!(wanted.words[0], "ConnectTimeout");
    }

    #[test]
    fn names_and_missing_files_are_found_in_plain_messages() {
        let words = |said| meaning(said, "l").wanted.words;
        assert_eq!(words("error adding listener 'l': Duplicate upgrade CONNECT"), ["CONNECT"]);
        assert_eq!(words("route: unknown cluster 'a b'"), ["a b"]);
        let needs = |said| meaning(said, "l").needs;
        assert_eq!(needs("Invalid path: /x/y.wasm").as_deref(), Some("/x/y.wasm"));
        assert_eq!(
            needs("script load error: [string \"l\"]:1: module 'lib.mylibrary' not found:").as_deref(),
            Some("lib.mylibrary")
        );
        assert_eq!(needs("The table size of maglev must be prime number"), None);
    }
}
