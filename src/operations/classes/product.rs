//! `_Product`: what can be sold.

use crate::operations::object::write::ClassRules;

#[derive(Debug)]
pub struct ProductRules;

impl ClassRules for ProductRules {
    fn required_fields(&self) -> &'static [&'static str] {
        &["productIdentifier", "icon", "order", "title", "subtitle"]
    }
}
