//! One file for each way in which such servers were broken before, with the attack written out.

mod enumeration;
mod files;
mod mass_assignment;
mod races;
mod sessions;
