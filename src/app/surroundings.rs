//! What fragments draw on besides their text, as it is now: the environment, env files, other files.
//!
//! New sources come in; variables, contents, and findings about env files go out. Keeps the promise of
//! containment for env files, too: one that is broken or gone keeps its last good values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use imbl::OrdMap;

use super::look::{Drew, Look};
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{FileContent, Inputs, Severities, Variables, parse_env_file};
use crate::source::{Content, Sources};

/// Where variables come from.
#[derive(Clone, Debug, Default)]
pub struct VariableSources {
    /// The environment, which is stronger than all files.
    pub environment: Environment,
    /// Files of variables, later ones stronger than earlier ones.
    pub env_files: Vec<PathBuf>,
    /// Only references to these are replaced; `None`: all.
    pub only: Option<Vec<String>>,
}

/// The variables of a process. Values are not shown.
#[derive(Clone, Default)]
pub struct Environment(pub BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// What fragments draw on now.
#[derive(Default)]
pub(super) struct Surroundings {
    from: VariableSources,
    /// The last good values of each env file.
    good: BTreeMap<PathBuf, Vec<(String, String)>>,
    /// The env files as they were last looked at.
    seen: BTreeMap<PathBuf, Option<Content>>,
    /// What is wrong with env files, as long as it is.
    problems: BTreeMap<PathBuf, Diagnostic>,
    variables: Variables,
    extra: OrdMap<Arc<Path>, Content>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Surroundings {
    pub(super) fn new(from: VariableSources) -> Surroundings {
        let mut surroundings = Surroundings { from, ..Surroundings::default() };
        surroundings.variables = surroundings.collect();
        surroundings
    }

    /// Takes what the sources hold now. Gives what is wrong with the env files that changed.
    pub(super) fn take(&mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.extra = sources.extra.clone();
        let mut findings = Vec::new();
        for path in &self.from.env_files {
            let content = lookup(&self.extra, path);
            if self.seen.get(path) == Some(&content) {
                continue;
            }
            let problem = match &content {
                None => None,
                Some(Err(problem)) => Some(format!("this env file cannot be read: {problem}")),
                Some(Ok(text)) => match parse_env_file(&text.bytes()) {
                    Ok(values) => {
                        self.good.insert(path.clone(), values);
                        None
                    }
                    Err(error) => Some(error.to_string()),
                },
            };
            self.problems.remove(path);
            if let Some(problem) = problem {
                let file: Arc<str> = path.to_string_lossy().into();
                let finding = Diagnostic::new(Severity::Error, "bad-env-file", file, problem);
                let finding = match self.good.contains_key(path) {
                    true => finding.with_hint("mend it; until then the values that it last had are used"),
                    false => finding.with_hint("mend it: docs/variables.md says what it may hold"),
                };
                self.problems.insert(path.clone(), finding.clone());
                findings.push(finding);
            }
            self.seen.insert(path.clone(), content);
        }
        self.variables = self.collect();
        findings
    }

    /// What is wrong with env files now.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.values()
    }

    fn collect(&self) -> Variables {
        let files = self.from.env_files.iter().filter_map(|path| self.good.get(path)).flatten();
        let files = files.map(|(name, value)| (name.as_str(), value.as_str()));
        let own = self.from.environment.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.select(Variables::new(files.chain(own)))
    }

    fn select(&self, variables: Variables) -> Variables {
        match &self.from.only {
            Some(names) => variables.only(names.iter().cloned()),
            None => variables,
        }
    }

    /// Whether an env file has not been looked at yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.from.env_files.iter().any(|path| !matches!(self.seen.get(path), Some(Some(_))))
    }

    /// Whether there are env files of which no values are known.
    pub(super) fn is_incomplete(&self) -> bool {
        self.from.env_files.iter().any(|path| !self.good.contains_key(path))
    }

    /// What loading takes.
    pub(super) fn with_inputs<T>(&self, severities: &Severities, load: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let files = |path: &Path| lookup(&self.extra, path).map(content);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let now = now.and_then(|now| i64::try_from(now.as_secs()).ok());
        load(&Inputs { variables: &self.variables, files: &files, now, severities })
    }

    /// What loading took at another time.
    pub(super) fn as_of<T>(
        &self,
        severities: &Severities,
        drew: &Drew,
        load: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let variables = self.select(Variables::new(drew.variables.clone()));
        let files = |path: &Path| {
            Some(drew.files.get(path).cloned().ok_or_else(|| "its content was not kept".to_owned()))
        };
        load(&Inputs { variables: &variables, files: &files, now: None, severities })
    }

    /// All files that are to be read and watched for these looks.
    pub(super) fn wanted<'l>(&self, looks: impl Iterator<Item = &'l Arc<Look>>) -> BTreeSet<PathBuf> {
        let named = looks.flat_map(|look| look.loaded.drawn.files().map(Path::to_owned));
        named.chain(self.from.env_files.iter().cloned()).collect()
    }
}

/// Further files are known by their absolute path.
fn lookup(extra: &OrdMap<Arc<Path>, Content>, path: &Path) -> Option<Content> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    extra.get(path.as_path()).cloned()
}

fn content(content: Content) -> FileContent {
    content.map(|text| text.bytes()).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{FileName, Fragments, Hold, Kept, Outcome, Policy, Saved, Verdict};
    use crate::envoy_api::Api;
    use crate::resource::Kind;
    use crate::source::{DirState, Directory, ReadProblem, SourceFile};

    const ENV: &str = "/etc/x/variables.env";

    struct Bench {
        sources: Sources,
        fragments: Fragments,
    }

    impl Bench {
        fn new(files: &[(&str, &str)]) -> Bench {
            let api = Api::embedded().expect("the shipped set is whole");
            let environment = Environment([("STRONG".to_owned(), "own".to_owned())].into());
            let variables = VariableSources { environment, env_files: vec![ENV.into()], only: None };
            let mut sources = Sources {
                dirs: [Directory { path: "/etc/x/d".into(), state: DirState::Present }].into(),
                ..Sources::default()
            };
            for (name, text) in files {
                let content = Ok((*text).to_owned().into());
                sources
                    .files
                    .insert((*name).into(), SourceFile { path: format!("/etc/x/d/{name}").into(), content });
            }
            Bench {
                sources,
                fragments: Fragments::new(api, Policy::default(), BTreeMap::new()).with_variables(variables),
            }
        }

        fn extra(&mut self, path: &str, text: &str) {
            self.sources.extra.insert(Path::new(path).into(), Ok(text.to_owned().into()));
        }

        /// The outcome, if all that is needed has been read.
        fn step(&mut self, changed: &[&str]) -> Option<Outcome> {
            let changed: Vec<FileName> = changed.iter().map(|name| (*name).into()).collect();
            let is_complete = self.fragments.stage(&self.sources, &changed);
            is_complete.then(|| self.fragments.update(&self.sources, &[]))
        }
    }

    #[test]
    fn only_files_that_draw_on_what_changed_are_loaded_again() {
        let mut bench = Bench::new(&[
            ("a.yaml", "clusters: [{ name: a, alt_stat_name: \"${A}\" }]"),
            ("b.yaml", "clusters: [{ name: b, alt_stat_name: \"${B:-b}\" }]"),
            ("c.yaml", "clusters: [{ name: c, alt_stat_name: \"${STRONG}\" }]"),
            ("d.yaml", "clusters: [{ name: d, alt_stat_name: !file ../${A} }]"),
        ]);
        assert!(
            bench.step(&["a.yaml", "b.yaml", "c.yaml", "d.yaml"]).is_none(),
            "the env file is not read yet"
        );
        assert_eq!(bench.fragments.wanted().into_iter().collect::<Vec<_>>(), [PathBuf::from(ENV)]);
        bench.extra(ENV, "A=one\n");
        assert!(bench.step(&[]).is_none(), "the file that d names is not read yet");
        let wanted: Vec<_> = bench.fragments.wanted().into_iter().collect();
        assert_eq!(wanted, [PathBuf::from("/etc/x/d/../one"), ENV.into()]);
        bench.extra("/etc/x/d/../one", "1");
        let outcome = bench.step(&[]).expect("all is read");
        assert!(outcome.diagnostics.is_empty(), "{:?}", outcome.diagnostics);
        let loaded = |bench: &mut Bench| -> Vec<String> {
            let outcome = bench.step(&[]).expect("all is read");
            outcome.looks.iter().map(|look| look.name.to_string()).collect()
        };
        bench.extra(ENV, "A=one\nB=new\nSTRONG=weak\n# more\n");
        assert_eq!(loaded(&mut bench), ["b.yaml"]);
        bench.extra("/etc/x/d/../one", "2");
        assert_eq!(loaded(&mut bench), ["d.yaml"]);
        bench.extra("/elsewhere", "x");
        assert_eq!(loaded(&mut bench), [""; 0]);
        bench.extra("/etc/x/d/../two", "2");
        bench.extra(ENV, "A=two\nB=new\n");
        assert_eq!(loaded(&mut bench), ["a.yaml", "d.yaml"]);
    }

    #[test]
    fn a_restart_without_its_env_file_serves_what_was_served_and_holds_what_would_fall_back_to_defaults() {
        let fragment =
            |name: &str| format!("clusters: [{{ name: {name}, alt_stat_name: \"${{A:-default}}\" }}]");
        let restart = |files: &[(&str, &str)], all_saved| {
            let drew = Drew { variables: [("A".to_owned(), "one".to_owned())].into(), ..Drew::default() };
            let saved = Saved { path: "/etc/x/d/a.yaml".into(), text: fragment("a").into(), drew };
            let mut bench = Bench::new(files);
            bench.fragments = Fragments::new(
                Api::embedded().expect("the shipped set is whole"),
                Policy::default(),
                [("a.yaml".into(), Kept::Here(saved))].into(),
            )
            .with_variables(VariableSources { env_files: vec![ENV.into()], ..VariableSources::default() })
            .with_all_saved(all_saved);
            bench.sources.extra.insert(Path::new(ENV).into(), Err(ReadProblem::NotFound));
            let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
            let outcome = bench.step(&names).expect("all is read");
            (bench, outcome)
        };
        let files = [("a.yaml", &*fragment("a")), ("b.yaml", &*fragment("b"))];
        let (mut bench, outcome) = restart(&files, true);
        let Verdict::Restored(snapshot, holds) = outcome.verdict else { panic!("{outcome:?}") };
        assert_eq!((snapshot.count(Kind::Cluster), &*holds), (1, &[Hold::Variables][..]));
        let said: Vec<_> = outcome.diagnostics.iter().map(|finding| finding.code).collect();
        assert_eq!(said, ["bad-env-file"]);
        let kept = |bench: &Bench| {
            let look = bench.fragments.served()["a.yaml"].clone();
            look.loaded.drawn.variables().any(|(_, value)| value == Some("one"))
        };
        assert!(kept(&bench), "not the default");
        let outcome = bench.step(&["b.yaml"]).expect("all is read");
        assert!(
            matches!(&outcome.verdict, Verdict::Held(holds) if holds == &[Hold::Variables]),
            "{outcome:?}"
        );
        assert!(outcome.diagnostics.iter().any(|finding| finding.code == "bad-env-file"));
        bench.extra(ENV, "A=one\n");
        let outcome = bench.step(&[]).expect("all is read");
        assert!(matches!(outcome.verdict, Verdict::Publish(_)) && kept(&bench), "{outcome:?}");
        // Nobody knows all that was served.
        let (_, outcome) = restart(&files, false);
        assert!(matches!(outcome.verdict, Verdict::NotYet), "{outcome:?}");
    }

    #[test]
    fn later_env_files_are_stronger_and_the_environment_is_the_strongest() {
        let environment = Environment([("A".to_owned(), "environment".to_owned())].into());
        let env_files = vec!["/first".into(), "/second".into()];
        let mut surroundings = Surroundings::new(VariableSources { environment, env_files, only: None });
        let mut sources = Sources::default();
        for (path, text) in [("/first", "A=1\nB=1\nC=1\n"), ("/second", "A=2\nB=2\n")] {
            sources.extra.insert(Path::new(path).into(), Ok((*text).to_owned().into()));
        }
        assert!(surroundings.take(&sources).is_empty());
        let value = |name| surroundings.variables.get(name).map(|value| value.to_string());
        assert_eq!(value("A").as_deref(), Some("environment"));
        assert_eq!((value("B").as_deref(), value("C").as_deref()), (Some("2"), Some("1")));
    }
}
