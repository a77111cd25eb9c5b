//! What to prove: an AIR with sizes, and its columns or a seed to make them from.

use jaxstark_interop::air::Description;
use jaxstark_interop::format::{Config, PublicValues};
use jaxstark_interop::instance::Instance;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use stwo::core::fields::m31::{BaseField, P};

use crate::example;

/// Values in row order, by name.
pub type Columns = Map<String, serde_json::Value>;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    pub name: Option<String>,
    pub air: String,
    pub log_sizes: Vec<u32>,
    pub config: Config,
    #[serde(default)]
    pub seed: Option<u64>,
    #[serde(default)]
    pub columns: Option<Columns>,
    #[serde(default)]
    pub preprocessed: Option<Columns>,
    #[serde(default)]
    pub public_values: Option<PublicValues>,
}

/// All columns of an instance, in row order and declaration order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Component, column, row.
    pub columns: Vec<Vec<Vec<BaseField>>>,
    /// Column of tree 0, row.
    pub preprocessed: Vec<Vec<BaseField>>,
    pub public: PublicValues,
}

/// The JSON form of a trace, as a case may hold it.
#[derive(Clone, Debug, Serialize)]
pub struct TraceFile {
    pub columns: Columns,
    pub preprocessed: Columns,
}

impl Case {
    pub fn load(&self) -> Result<(Instance, Trace), String> {
        let air = jaxstark_interop::air::resolve(&self.air)
            .ok_or_else(|| format!("unknown AIR id {:?}", self.air))?;
        let description = air.description();
        let trace = match &self.columns {
            Some(columns) => self.read_trace(&description, columns)?,
            None => example::trace(&self.air, &self.log_sizes, self.seed.unwrap_or(0))
                .ok_or_else(|| format!("{} needs columns: it has no example", self.air))?,
        };
        let config = self.config.to_pcs().map_err(|error| error.to_string())?;
        let instance = Instance::new(&self.air, &self.log_sizes, config, &trace.public)
            .map_err(|error| error.to_string())?;
        trace.check_sizes(&instance)?;
        Ok((instance, trace))
    }

    fn read_trace(&self, description: &Description, columns: &Columns) -> Result<Trace, String> {
        let mut trace = Trace {
            public: self.public_values.clone().unwrap_or_default(),
            ..Trace::default()
        };
        for component in &description.components {
            let given = columns
                .get(component.name)
                .and_then(|given| given.as_object())
                .ok_or_else(|| format!("columns: {} is missing", component.name))?;
            let names = component.columns.iter().map(String::as_str);
            trace.columns.push(read_columns(given, names)?);
        }
        let ids = description.preprocessed.iter().map(|(id, _)| id.as_str());
        trace.preprocessed = match &self.preprocessed {
            Some(given) => read_columns(given, ids)?,
            None => example::preprocessed(&self.air, &self.log_sizes)
                .ok_or("preprocessed: expected columns, got none")?,
        };
        Ok(trace)
    }
}

impl Trace {
    fn check_sizes(&self, instance: &Instance) -> Result<(), String> {
        let description = &instance.description;
        let fits = |columns: &[Vec<BaseField>], component: usize| {
            let rows = 1 << instance.log_sizes[component];
            columns.iter().all(|column| column.len() == rows)
        };
        for (index, columns) in self.columns.iter().enumerate() {
            if !fits(columns, index) {
                let name = description.components[index].name;
                return Err(format!(
                    "columns of {name}: another length than the size says"
                ));
            }
        }
        let owners = description.preprocessed.iter();
        for (column, (id, owner)) in self.preprocessed.iter().zip(owners) {
            if !fits(std::slice::from_ref(column), *owner) {
                return Err(format!("{id}: another length than its component"));
            }
        }
        Ok(())
    }

    pub fn to_file(&self, description: &Description) -> TraceFile {
        let by_component = description.components.iter().zip(&self.columns);
        let columns = by_component.map(|(component, columns)| {
            let names = component.columns.iter().map(String::as_str);
            (
                component.name.to_owned(),
                write_columns(names, columns).into(),
            )
        });
        let ids = description.preprocessed.iter().map(|(id, _)| id.as_str());
        TraceFile {
            columns: columns.collect(),
            preprocessed: write_columns(ids, &self.preprocessed),
        }
    }
}

fn read_columns<'a>(
    given: &Columns,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<Vec<BaseField>>, String> {
    names
        .map(|name| {
            let words = given
                .get(name)
                .and_then(|value| Vec::<u32>::deserialize(value).ok())
                .filter(|words| words.iter().all(|word| *word < P))
                .ok_or_else(|| format!("{name}: expected an array of words below 2^31 - 1"))?;
            let felts = words.into_iter().map(BaseField::from_u32_unchecked);
            Ok(felts.collect())
        })
        .collect()
}

fn write_columns<'a>(names: impl Iterator<Item = &'a str>, columns: &[Vec<BaseField>]) -> Columns {
    let words = |column: &Vec<BaseField>| column.iter().map(|felt| felt.0).collect::<Vec<_>>();
    names
        .zip(columns)
        .map(|(name, column)| (name.to_owned(), words(column).into()))
        .collect()
}
