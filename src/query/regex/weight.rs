//! What a pattern would cost to compile, counted while it is scanned. A repetition multiplies what it repeats, and
//! neighbours that may all be empty (`a*b*c*`, `(a?){50}`) cost the cube of their number.

use super::refuse;
use crate::error::Result;

/// Groups inside groups.
const MAX_DEPTH: usize = 100;
/// Characters and classes, repetitions written out.
const MAX_SIZE: u64 = 20_000;
/// Neighbours that may be empty, repetitions written out.
const MAX_RUN: u64 = 300;
/// What a word boundary counts for: it is four looks at the neighbours.
pub(super) const BOUNDARY: u64 = 8;
/// What another assertion counts for.
pub(super) const ASSERTION: u64 = 4;

/// One part of a pattern.
#[derive(Clone, Copy, Debug)]
struct Part {
    size: u64,
    /// The longest run of neighbours that may be empty.
    run: u64,
    nullable: bool,
    /// May be followed by a repetition.
    repeatable: bool,
}

const NOTHING: Part = Part { size: 0, run: 0, nullable: true, repeatable: false };
const CHARACTER: Part = Part { size: 1, run: 0, nullable: false, repeatable: true };

/// A group that is being read.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The alternatives before this one.
    before: Option<Part>,
    /// This alternative up to its last part.
    so_far: Part,
    /// The run that reaches up to the last part.
    open_run: u64,
    last: Part,
    is_look: bool,
}

impl Level {
    fn new(is_look: bool) -> Self {
        Self { before: None, so_far: NOTHING, open_run: 0, last: NOTHING, is_look }
    }

    /// Takes the last part into what was read so far.
    fn settle(&mut self) {
        let last = std::mem::replace(&mut self.last, NOTHING);
        let run = self.open_run.saturating_add(last.run);
        self.so_far.run = self.so_far.run.max(run);
        self.open_run = if last.nullable { run } else { last.run };
        self.so_far.size = self.so_far.size.saturating_add(last.size);
        self.so_far.nullable &= last.nullable;
    }

    fn alternative(&mut self) {
        self.settle();
        let this = std::mem::replace(&mut self.so_far, NOTHING);
        self.open_run = 0;
        self.before = Some(match self.before {
            None => this,
            Some(before) => Part {
                size: before.size.saturating_add(this.size),
                run: before.run.saturating_add(this.run),
                nullable: before.nullable || this.nullable,
                repeatable: true,
            },
        });
    }
}

/// The groups that are open, the whole pattern first.
#[derive(Debug)]
pub(super) struct Weight {
    levels: Vec<Level>,
    looks: usize,
}

impl Weight {
    pub(super) fn new() -> Self {
        Self { levels: vec![Level::new(false)], looks: 0 }
    }

    fn top(&mut self) -> Result<&mut Level> {
        self.levels.last_mut().ok_or_else(|| refuse("a group is closed that was not opened"))
    }

    fn check(&mut self) -> Result<()> {
        let top = self.top()?;
        let size = top.so_far.size.saturating_add(top.last.size);
        let run = top.open_run.saturating_add(top.last.run);
        if size > MAX_SIZE {
            return Err(refuse("it is too large when its repetitions are written out"));
        }
        if run > MAX_RUN {
            return Err(refuse("too many of its neighbouring parts may be empty"));
        }
        Ok(())
    }

    fn push(&mut self, part: Part) -> Result<()> {
        let top = self.top()?;
        top.settle();
        top.last = part;
        self.check()
    }

    /// A character or a class.
    pub(super) fn character(&mut self) -> Result<()> {
        self.push(CHARACTER)
    }

    /// Something that looks without reading.
    pub(super) fn assertion(&mut self, run: u64) -> Result<()> {
        self.push(Part { size: 1, run, nullable: true, repeatable: false })
    }

    /// What an earlier group matched, which may have been nothing.
    pub(super) fn back_reference(&mut self) -> Result<()> {
        self.push(Part { size: 1, run: 1, nullable: true, repeatable: true })
    }

    pub(super) fn open(&mut self, is_look: bool) -> Result<()> {
        if self.levels.len() > MAX_DEPTH {
            return Err(refuse("its groups are nested too deeply"));
        }
        self.looks += usize::from(is_look);
        self.levels.push(Level::new(is_look));
        Ok(())
    }

    pub(super) fn is_inside_look(&self) -> bool {
        self.looks > 0
    }

    pub(super) fn alternative(&mut self) -> Result<()> {
        self.top()?.alternative();
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        if self.levels.len() < 2 {
            return Err(refuse("a group is closed that was not opened"));
        }
        let Some(mut level) = self.levels.pop() else { return Ok(()) };
        level.alternative();
        let inner = level.before.unwrap_or(NOTHING);
        if level.is_look {
            self.looks -= 1;
            let run = ASSERTION.saturating_add(inner.run);
            return self.push(Part { size: inner.size + 1, run, nullable: true, repeatable: false });
        }
        self.push(Part { size: inner.size + 1, repeatable: true, ..inner })
    }

    /// `*`, `+`, `?` and `{low,high}` after the last part; `None` is without end.
    ///
    /// # Errors
    /// 102 where there is nothing to repeat, as after another repetition.
    pub(super) fn repeat(&mut self, low: u64, high: Option<u64>) -> Result<()> {
        let last = &mut self.top()?.last;
        if !last.repeatable {
            return Err(refuse("a repetition of nothing"));
        }
        last.repeatable = false;
        let copies = high.unwrap_or(low).max(1);
        last.size = last.size.saturating_mul(copies);
        // Each copy that may be left out can be empty.
        let optional = high.map_or(u64::from(low == 0), |high| high.saturating_sub(low));
        let inner = if last.nullable { last.run.saturating_mul(copies) } else { last.run };
        last.run = inner.saturating_add(optional);
        last.nullable |= low == 0;
        self.check()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.levels.len() == 1
    }
}
