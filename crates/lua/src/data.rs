//! What scripts keep from run to run: the requests, and what each means for one value.

use crate::HostError;
use serde_json::Value;
use sutler_model::{DataSpace, ScriptId};

/// Longest key, bytes.
pub const KEY_BYTES: usize = 256;
/// Longest value, bytes of JSON.
pub const VALUE_BYTES: usize = 64 << 10;
/// Most entries of one list.
pub const LIST_MAX: usize = 1_000;
/// A list ends after this many bytes of JSON, and says that there is more.
pub const LIST_BYTES: usize = 4 << 20;
/// Whole numbers up to this are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A request of a run about its script's own data.
#[derive(Clone, Debug)]
pub struct Data {
    /// Whose data.
    pub script: ScriptId,
    /// Which of its stores.
    pub space: DataSpace,
    /// What is asked for.
    pub action: DataAction,
    /// Counts the calls of the run, as in [`crate::Host::call`]: a write that was done is not done again.
    pub call_no: u32,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum DataAction {
    /// A value; answers null where there is none.
    Get {
        /// Its key.
        key: String,
    },
    /// Sets or deletes a value; answers whether there was one.
    Set {
        /// Its key.
        key: String,
        /// None: deletes it.
        value: Option<Value>,
        /// When it ceases to be, in seconds from now; none: never.
        ttl_s: Option<u64>,
    },
    /// Adds to a number, which counts as 0 where it is not there; answers the sum.
    Add {
        /// Its key.
        key: String,
        /// How much.
        by: f64,
    },
    /// Sets or deletes a value if it is what is expected; answers whether it was.
    Swap {
        /// Its key.
        key: String,
        /// None: there must be none.
        expected: Option<Value>,
        /// None: deletes it.
        value: Option<Value>,
        /// As in `Set`.
        ttl_s: Option<u64>,
    },
    /// Pairs of key and value in the order of their keys; answers an array of two-element arrays, and then, as one element
    /// more, `true` if there are more of them.
    List {
        /// What their keys begin with.
        prefix: String,
        /// The key after which it begins.
        after: Option<String>,
        /// Most entries.
        limit: usize,
    },
}

/// What a request does to a value.
#[derive(Clone, Debug, PartialEq)]
pub struct DataStep {
    /// What the script is told.
    pub answer: Value,
    /// Whether anything is written.
    pub write: bool,
    /// The value afterwards; none: gone.
    pub value: Option<Value>,
    /// When it ceases to be; none: as before.
    pub ttl_s: Option<Option<u64>>,
}

impl DataAction {
    /// Whether it may write.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::List { .. })
    }

    /// The key it is about; of a list its prefix.
    pub fn key(&self) -> &str {
        match self {
            Self::Get { key } | Self::Set { key, .. } | Self::Add { key, .. } | Self::Swap { key, .. } => key,
            Self::List { prefix, .. } => prefix,
        }
    }

    /// Decides what becomes of the value that is there now. Pure.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a sum of what is no number, or beyond what numbers hold exactly.
    pub fn decide(&self, now: Option<Value>) -> Result<DataStep, HostError> {
        let step = |answer, write, value, ttl_s| DataStep { answer, write, value, ttl_s };
        Ok(match self {
            Self::Get { .. } | Self::List { .. } => step(now.clone().unwrap_or_default(), false, now, None),
            Self::Set { value, ttl_s, .. } => {
                let (was, is) = (now.is_some(), value.is_some());
                step(was.into(), was || is, value.clone(), Some(*ttl_s))
            }
            Self::Add { key, by } => {
                let before = match &now {
                    None => 0.0,
                    Some(Value::Number(n)) => n.as_f64().unwrap_or_default(),
                    Some(_) => {
                        return Err(HostError::refused("INVALID_INPUT", format!("the value of `{key}` is no number")));
                    }
                };
                let sum = before + by;
                if !sum.is_finite() || sum.abs() > EXACT {
                    let detail = format!("the sum in `{key}` would be larger than 2^53");
                    return Err(HostError::refused("INVALID_INPUT", detail));
                }
                let sum = crate::json::number(sum);
                step(sum.clone(), true, Some(sum), None)
            }
            Self::Swap { expected, value, ttl_s, .. } => {
                if now == *expected {
                    step(true.into(), now.is_some() || value.is_some(), value.clone(), Some(*ttl_s))
                } else {
                    step(false.into(), false, now, None)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn swap(expected: Option<Value>, value: Option<Value>) -> DataAction {
        DataAction::Swap { key: "k".to_owned(), expected, value, ttl_s: None }
    }

    #[test]
    fn a_swap_happens_only_to_what_is_expected() {
        let done = swap(None, Some(json!(1))).decide(None).unwrap();
        assert_eq!((done.answer, done.write, done.value), (json!(true), true, Some(json!(1))));
        let refused = swap(None, Some(json!(1))).decide(Some(json!(2))).unwrap();
        assert_eq!((refused.answer, refused.write, refused.value), (json!(false), false, Some(json!(2))));
        let gone = swap(Some(json!({"a": 1})), None).decide(Some(json!({"a": 1}))).unwrap();
        assert_eq!((gone.answer, gone.write, gone.value), (json!(true), true, None));
    }

    #[test]
    fn sums_begin_at_nothing_and_stay_exact() {
        let add = |by| DataAction::Add { key: "k".to_owned(), by };
        assert_eq!(add(2.0).decide(None).unwrap().answer, json!(2));
        assert_eq!(add(0.5).decide(Some(json!(2))).unwrap().value, Some(json!(2.5)));
        assert!(add(1.0).decide(Some(json!("2"))).unwrap_err().to_string().contains("no number"));
        assert!(add(1e300).decide(None).is_err() && add(f64::NAN).decide(None).is_err());
    }
}
