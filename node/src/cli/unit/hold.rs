//! `--hold RESOURCE=AMOUNT`: what the unit bargains for at its start.

use serde_json::{Value, json};
use vsm_core::Name;

use super::amount::Amount;

/// A resource that is held while the unit is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    resource: Name,
    amount: u64,
    /// The bargain, once control offered something.
    bargain: Option<String>,
    agreed: Option<u64>,
}

impl From<Amount> for Hold {
    fn from(Amount { resource, amount }: Amount) -> Self {
        Self {
            resource,
            amount,
            bargain: None,
            agreed: None,
        }
    }
}

impl Hold {
    /// The frames that begin to bargain. What was agreed before a broken
    /// connection may or may not still be held: it is given back first.
    pub fn begin(&mut self) -> Vec<String> {
        let mut frames: Vec<_> = self.release().into_iter().collect();
        let request = json!({
            "type": "bargain",
            "ref": self.resource,
            "request": {"resource": self.resource, "amount": self.amount, "at_least": 1},
        });
        frames.push(request.to_string());
        frames
    }

    /// The frame that gives it back, when something is held.
    pub fn release(&mut self) -> Option<String> {
        self.agreed = None;
        let bargain = self.bargain.take()?;
        Some(json!({"type": "bargain", "release": bargain}).to_string())
    }

    /// Control answered. The frame that answers back, if any.
    pub fn answered(&mut self, frame: &Value) -> Option<String> {
        let bargain = frame["bargain"].as_str()?.to_owned();
        let amount = frame["amount"].as_u64().unwrap_or(0);
        let (wanted, of) = (self.amount, &self.resource);
        match frame["answer"].as_str()? {
            "offered" => {
                self.bargain = Some(bargain.clone());
                Some(json!({"type": "bargain", "agree": bargain}).to_string())
            }
            "agreed" => {
                self.agreed = Some(amount);
                eprintln!("holding {amount} of {wanted} {of}");
                None
            }
            "refused" => {
                let reason = frame["reason"].as_str().unwrap_or("no reason given");
                eprintln!("holding no {of}: {reason}");
                None
            }
            "expired" => {
                self.bargain = None;
                eprintln!("holding no {of}: the offer expired");
                None
            }
            _ => None,
        }
    }

    /// Whether an answer is about this.
    pub fn is_meant(&self, frame: &Value) -> bool {
        frame["ref"].as_str() == Some(&*self.resource)
            || (self.bargain.is_some() && frame["bargain"].as_str() == self.bargain.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bargain() {
        let mut hold = Hold::from("gpu=4".parse::<Amount>().unwrap());
        assert_eq!(hold.begin().len(), 1);
        let offered = json!({"ref": "gpu", "bargain": "b", "answer": "offered", "amount": 3});
        assert!(hold.is_meant(&offered));
        let agree = hold.answered(&offered).unwrap();
        assert!(agree.contains("\"agree\":\"b\""), "{agree}");
        let agreed = json!({"ref": "gpu", "bargain": "b", "answer": "agreed", "amount": 3});
        assert_eq!(hold.answered(&agreed), None);
        assert_eq!(hold.agreed, Some(3));
        assert_eq!(hold.begin().len(), 2);
        assert_eq!(hold.release(), None);
    }
}
