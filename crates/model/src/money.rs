//! Exact money: checked i128 nano-units inside, decimal text at the edges, never floating point.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A decimal number with nine places, kept as billionths. Text form: `-12.34`, `0.000000001`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nanos(pub i128);

/// Billionths in one.
pub const ONE: i128 = 1_000_000_000;

/// Why a text is not an amount or an amount does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not a plain decimal number with at most nine places.
    #[error("`{0}` is not a decimal amount with at most nine places, such as 12.34")]
    NotDecimal(String),
    /// The result does not fit.
    #[error("the amount is too large")]
    Overflow,
    /// Two currencies met.
    #[error("cannot combine {0} with {1}")]
    CurrencyMismatch(Currency, Currency),
    /// The text is not a currency code.
    #[error("`{0}` is not a currency code of three capital letters (ISO 4217), such as EUR")]
    NotCurrency(String),
}

#[expect(clippy::should_implement_trait, reason = "`+` and `-` on money would hide that the sum can fail")]
impl Nanos {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Sum.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn add(self, other: Self) -> Result<Self, Error> {
        self.0.checked_add(other.0).map(Self).ok_or(Error::Overflow)
    }

    /// Difference.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn sub(self, other: Self) -> Result<Self, Error> {
        self.0.checked_sub(other.0).map(Self).ok_or(Error::Overflow)
    }

    /// `self × factor ÷ divisor` in one step, rounded half to even to `places` decimal places (0–9).
    /// The only place where an amount is rounded.
    ///
    /// # Errors
    /// [`Error::Overflow`], also for a divisor of zero.
    pub fn mul_div_round(self, factor: i128, divisor: i128, places: u8) -> Result<Self, Error> {
        let unit = 10_i128.pow(u32::from(9 - places.min(9)));
        let numerator = self.0.checked_mul(factor).ok_or(Error::Overflow)?;
        let denominator = divisor.checked_mul(unit).ok_or(Error::Overflow)?;
        if denominator == 0 {
            return Err(Error::Overflow);
        }
        let quotient = numerator.div_euclid(denominator);
        let rest = numerator.rem_euclid(denominator);
        let size = denominator.abs();
        let round_up = match (rest.checked_mul(2).ok_or(Error::Overflow)?).cmp(&size) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => quotient.rem_euclid(2) == 1,
            std::cmp::Ordering::Less => false,
        };
        let away = if denominator > 0 { 1 } else { -1 };
        let whole = if round_up { quotient + away } else { quotient };
        whole.checked_mul(unit).map(Self).ok_or(Error::Overflow)
    }

    /// Text with at least `places` decimal places: `12.30` for two.
    pub fn to_text(self, places: u8) -> String {
        let magnitude = self.0.unsigned_abs();
        let mut fraction = format!("{:09}", magnitude % ONE.unsigned_abs());
        while fraction.len() > usize::from(places) && fraction.ends_with('0') {
            fraction.pop();
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{dot}{fraction}", magnitude / ONE.unsigned_abs())
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(0))
    }
}

impl FromStr for Nanos {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::NotDecimal(text.chars().take(40).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
            return Err(bad());
        }
        if digits.ends_with('.') {
            return Err(bad());
        }
        let whole: i128 = whole.parse().map_err(|_| Error::Overflow)?;
        let fraction: i128 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
        let value = whole.checked_mul(ONE).and_then(|w| w.checked_add(fraction)).ok_or(Error::Overflow)?;
        Ok(Self(if negative { -value } else { value }))
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Decimal places of the smallest coin (ISO 4217 minor unit).
    pub fn places(self) -> u8 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }

    /// The sign that people write for it in English texts; of most, the code.
    pub fn symbol(&self) -> &str {
        match &self.0 {
            b"AUD" => "A$",
            b"BRL" => "R$",
            b"CAD" => "CA$",
            b"CNY" => "CN¥",
            b"EUR" => "€",
            b"GBP" => "£",
            b"HKD" => "HK$",
            b"ILS" => "₪",
            b"INR" => "₹",
            b"JPY" => "¥",
            b"KRW" => "₩",
            b"MXN" => "MX$",
            b"NZD" => "NZ$",
            b"PHP" => "₱",
            b"TWD" => "NT$",
            b"USD" => "$",
            b"VND" => "₫",
            _ => self.as_str(),
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(Error::NotCurrency(text.chars().take(20).collect())),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// An amount in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// How much.
    pub amount: Nanos,
    /// Of what.
    pub currency: Currency,
}

#[expect(clippy::should_implement_trait, reason = "`+` and `-` on money would hide that the sum can fail")]
impl Money {
    /// Sum of two amounts of one currency.
    ///
    /// # Errors
    /// [`Error::CurrencyMismatch`], [`Error::Overflow`].
    pub fn add(self, other: Self) -> Result<Self, Error> {
        if self.currency != other.currency {
            return Err(Error::CurrencyMismatch(self.currency, other.currency));
        }
        Ok(Self { amount: self.amount.add(other.amount)?, currency: self.currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount.to_text(self.currency.places()), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_exact_both_ways() {
        for (text, nanos) in [("0", 0), ("12.34", 12_340_000_000), ("-0.000000001", -1), ("7", 7 * ONE)] {
            assert_eq!(text.parse::<Nanos>().unwrap(), Nanos(nanos));
            assert_eq!(Nanos(nanos).to_string(), text);
        }
        for bad in ["", ".5", "1.", "1e3", "+1", "1.0000000001", "１", "--1", "NaN"] {
            assert!(bad.parse::<Nanos>().is_err(), "{bad} must be refused");
        }
        assert_eq!(Nanos(12_300_000_000).to_text(2), "12.30");
    }

    #[test]
    fn rounding_is_half_to_even() {
        let cent = |n: i128| Nanos(n).mul_div_round(1, 1, 2).unwrap();
        assert_eq!(cent(5_000_000), Nanos(0));
        assert_eq!(cent(15_000_000), Nanos(20_000_000));
        assert_eq!(cent(15_000_001), Nanos(20_000_000));
        assert_eq!(cent(-5_000_000), Nanos(0));
        assert_eq!(cent(-15_000_000), Nanos(-20_000_000));
        assert_eq!(cent(14_999_999), Nanos(10_000_000));
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_text(n in any::<i64>()) {
            let amount = Nanos(i128::from(n) * 1_000);
            prop_assert_eq!(amount.to_string().parse::<Nanos>().unwrap(), amount);
        }

        #[test]
        fn rounding_errs_by_at_most_half_a_unit(n in any::<i64>(), f in 1_i128..1000, d in 1_i128..1000) {
            let rounded = Nanos(i128::from(n)).mul_div_round(f, d, 2).unwrap().0;
            let error = (rounded * d - i128::from(n) * f).abs();
            prop_assert!(error * 2 <= 10_000_000 * d);
        }
    }
}
