//! Puts the layers of the configuration on top of each other.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError, Effective, Origin, Problem, nearest::nearest};

/// Variables of the environment that set configuration begin with this and
/// have [`SEPARATOR`] between section and key.
const PREFIX: &str = "VSM_";
const SEPARATOR: &str = "__";
/// Keys below these are the user's own.
const FREE: &[&str] = &["model.control.pools"];
/// Paths, which in a file are relative to it.
const PATHS: &[&str] = &["node.data_dir", "api.tls.certificate", "api.tls.key"];

/// What configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file, if any.
    pub file: Option<PathBuf>,
    /// The environment's variables; those that set nothing here are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags: their name, the key they set, the value.
    pub flags: Vec<(&'static str, &'static str, Value)>,
}

impl Layers {
    /// The layers of this process: the named file or `vsm.toml` in the working
    /// directory, and the environment.
    #[must_use]
    pub fn of_process(file: Option<&Path>) -> Self {
        Self {
            file: super::file(file),
            // What is no Unicode is no name of ours; a value of ours that is
            // none makes no sense, and the check says so.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.to_string_lossy().into()))
                })
                .collect(),
            flags: Vec::new(),
        }
    }

    /// A flag that sets a key, when it was given.
    #[must_use]
    pub fn flag(mut self, name: &'static str, key: &'static str, value: Option<String>) -> Self {
        self.flags
            .extend(value.map(|value| (name, key, Value::String(value))));
        self
    }

    /// Reads the layers and checks the result.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(self) -> Result<Effective, ConfigError> {
        let mut merge = Merge::begin();
        if let Some(path) = self.file {
            merge.file(path)?;
        }
        for (name, text) in self.environment {
            merge.variable(name, text);
        }
        for (name, key, value) in self.flags {
            merge.set(key, value, Origin::Flag(name));
        }
        merge.end()
    }
}

struct Merge {
    values: BTreeMap<String, (Value, Origin)>,
    problems: Vec<Problem>,
}

impl Merge {
    fn begin() -> Self {
        let defaults = Table::try_from(Config::default()).unwrap_or_default();
        let mut values = BTreeMap::new();
        flatten("", Value::Table(defaults), &mut |key, value| {
            if !FREE.contains(&key.as_str()) {
                values.insert(key, (value, Origin::Default));
            }
        });
        Self {
            values,
            problems: Vec::new(),
        }
    }

    fn file(&mut self, path: PathBuf) -> Result<(), ConfigError> {
        let text = fs::read_to_string(&path).map_err(|source| ConfigError::File {
            path: path.clone(),
            source,
        })?;
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| ConfigError::Syntax {
                path: path.clone(),
                message: error.to_string(),
            })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        flatten("", Value::Table(table), &mut |key, value| {
            let value = match value {
                Value::String(text) if PATHS.contains(&key.as_str()) && !text.is_empty() => {
                    Value::String(folder.join(text).to_string_lossy().into_owned())
                }
                other => other,
            };
            self.set(&key, value, Origin::File(path.clone()));
        });
        Ok(())
    }

    fn variable(&mut self, name: String, text: String) {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            return;
        };
        if !rest.contains(SEPARATOR) {
            return;
        }
        let key = self.key_of(rest);
        let value = match self.values.get(&key).map(|(known, _)| known) {
            Some(Value::String(_)) => Ok(Value::String(text)),
            // A list, with commas between.
            Some(Value::Array(_)) => Ok(Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .map(|it| Value::String(it.to_owned()))
                    .collect(),
            )),
            // A table of the user's own holds numbers.
            Some(_) | None => scalar(&text),
        };
        match value {
            Ok(value) => self.set(&key, value, Origin::Environment(name)),
            Err(message) => self
                .problems
                .push(Problem::new(key, message).from(Origin::Environment(name))),
        }
    }

    /// The key that a variable means: case does not matter, but in names of
    /// the user's own.
    fn key_of(&self, rest: &str) -> String {
        let key = rest.replace(SEPARATOR, ".");
        let lower = key.to_lowercase();
        for free in FREE {
            if lower.starts_with(&format!("{free}.")) {
                return format!("{free}{}", &key[free.len()..]);
            }
        }
        lower
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let free = FREE.iter().any(|free| {
            key == *free || key.strip_prefix(free).is_some_and(|it| it.starts_with('.'))
        });
        let empty = matches!(&value, Value::Table(table) if table.is_empty());
        let is_section = empty
            && (free
                || self
                    .values
                    .keys()
                    .any(|it| it.starts_with(&format!("{key}."))));
        if is_section {
            return;
        }
        match self.values.get(key) {
            None if !free => {
                let known: Vec<_> = self.values.keys().map(String::as_str).collect();
                let message = match nearest(key, known) {
                    Some(near) => format!("unknown key; did you mean {near}?"),
                    None => {
                        let mut sections: Vec<_> = self
                            .values
                            .keys()
                            .filter_map(|key| key.split('.').next())
                            .collect();
                        sections.dedup();
                        format!("unknown key; the sections are {}", sections.join(", "))
                    }
                };
                self.problems.push(Problem::new(key, message).from(origin));
            }
            Some((known, _)) if known.type_str() != value.type_str() => {
                let message = format!(
                    "{value} is of type {}, it must be of type {}, like {known}",
                    value.type_str(),
                    known.type_str()
                );
                self.problems.push(Problem::new(key, message).from(origin));
            }
            _ => {
                self.values.insert(key.to_owned(), (value, origin));
            }
        }
    }

    fn end(mut self) -> Result<Effective, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid(self.problems));
        }
        let mut table = Table::new();
        for (key, (value, _)) in &self.values {
            insert(&mut table, key, value.clone());
        }
        let mut track = serde_path_to_error::Track::new();
        let parsed = Config::deserialize(serde_path_to_error::Deserializer::new(
            Value::Table(table),
            &mut track,
        ));
        let found = match parsed {
            Ok(config) => {
                self.problems = config.problems();
                Some(config)
            }
            Err(error) => {
                let key = track.path().to_string();
                self.problems.push(Problem::new(
                    key,
                    error.to_string().trim().replace('\n', " "),
                ));
                None
            }
        };
        match found {
            Some(config) if self.problems.is_empty() => Ok(Effective {
                config,
                values: self.values,
            }),
            _ => {
                for problem in &mut self.problems {
                    problem.origin = self.values.get(&problem.key).map(|(_, it)| it.clone());
                }
                Err(ConfigError::Invalid(self.problems))
            }
        }
    }
}

/// A number or a truth value; anything else is left a text.
fn scalar(text: &str) -> Result<Value, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::Integer(number));
    }
    if let Ok(truth) = text.parse::<bool>() {
        return Ok(Value::Boolean(truth));
    }
    if text.contains('\0') {
        return Err("it holds a zero byte".into());
    }
    Ok(Value::String(text.to_owned()))
}

/// Calls `each` with every value that is no table, or an empty one.
fn flatten(prefix: &str, value: Value, each: &mut impl FnMut(String, Value)) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let path = match prefix {
                    "" => key,
                    _ => format!("{prefix}.{key}"),
                };
                flatten(&path, value, each);
            }
        }
        other if !prefix.is_empty() => each(prefix.to_owned(), other),
        _ => {}
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    let free = FREE.iter().find_map(|free| {
        let own = key.strip_prefix(free)?.strip_prefix('.')?;
        Some((*free, own))
    });
    let (sections, last) = match free {
        Some((section, own)) => (section, own),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    };
    let mut at = table;
    for section in sections.split('.').filter(|it| !it.is_empty()) {
        let next = at
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else { return };
        at = next;
    }
    at.insert(last.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(toml: &str, environment: &[(&str, &str)]) -> Result<Effective, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vsm.toml");
        fs::write(&file, toml).unwrap();
        Layers {
            file: Some(file),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: Vec::new(),
        }
        .read()
        .map_err(|error| {
            error
                .to_string()
                .replace(dir.path().to_str().unwrap(), "DIR")
        })
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let effective = layers(
            "[api]\ndepth_max = 10\nrequests_max = 20\n[model.control.pools]\ngpu = 4\n",
            &[
                ("VSM_API__REQUESTS_MAX", "30"),
                ("VSM_MODEL__CONTROL__POOLS__CPU.a", "8"),
                ("VSM_STORAGE__COMPRESS", "false"),
                ("VSM_CONFIG", "elsewhere"),
                ("HOME", "/"),
            ],
        )
        .unwrap();
        let config = &effective.config;
        assert_eq!((config.api.depth_max, config.api.requests_max), (10, 30));
        assert!(!config.storage.compress);
        let pools: Vec<_> = config
            .model
            .control
            .pools
            .iter()
            .map(|(name, total)| (name.to_string(), *total))
            .collect();
        assert_eq!(pools, [("CPU.a".to_owned(), 8), ("gpu".to_owned(), 4)]);
        assert_eq!(
            effective.origin("api.requests_max").to_string(),
            "VSM_API__REQUESTS_MAX"
        );
        assert_eq!(effective.origin("api.listen"), &Origin::Default);
    }

    #[test]
    fn a_path_in_a_file_is_relative_to_it() {
        let effective = layers("[node]\ndata_dir = \"data\"\n", &[]).unwrap();
        let data_dir = effective.config.node.data_dir;
        assert!(data_dir.is_absolute() && data_dir.ends_with("data"));
    }

    #[test]
    fn everything_wrong_is_named_with_its_origin() {
        let check = |toml: &str, environment: &[(&str, &str)], expect: &str| {
            let error = layers(toml, environment).unwrap_err();
            assert!(
                error.contains(expect),
                "{error}\ndoes not contain\n{expect}"
            );
        };
        check(
            "[api]\nlisen = \"127.0.0.1:1\"\n",
            &[],
            "api.lisen: unknown key; did you mean api.listen? (set by DIR/vsm.toml)",
        );
        check(
            "[clusters]\n",
            &[],
            "clusters: unknown key; the sections are api, cluster, model, node, security, storage, telemetry, units",
        );
        check(
            "[api]\ndepth_max = \"deep\"\n",
            &[],
            "api.depth_max: \"deep\" is of type string, it must be of type integer",
        );
        check(
            "[api]\ndepth_max = -1\n",
            &[],
            "api.depth_max: invalid value",
        );
        check(
            "[api]\nlisten = \"here\"\n",
            &[],
            "api.listen: invalid socket address",
        );
        check(
            "[model.operations]\nstrategy = \"best\"\n",
            &[],
            "model.operations.strategy: unknown variant `best`",
        );
        check(
            "[node]\nname = \"a b\"\n",
            &[],
            "node.name: a name has letters",
        );
        check(
            "",
            &[("VSM_API__DEPTH_MAX", "900")],
            "api.depth_max: 900 is out of bounds; it may be 1 to 120 (set by VSM_API__DEPTH_MAX)",
        );
        check(
            "",
            &[("VSM_API__DEPHT_MAX", "9")],
            "api.depht_max: unknown key; did you mean api.depth_max? (set by VSM_API__DEPHT_MAX)",
        );
        check("node = 3\n", &[], "node: unknown key");
        check("[node\n", &[], "is not TOML");
    }
}
