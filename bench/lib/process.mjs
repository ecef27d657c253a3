// What processes cost, read from /proc (Linux).
import fs from 'node:fs';

const TICK = 10_000_000; // ns; USER_HZ is 100 on every Linux that Node runs on

function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** Fields of /proc/<pid>/stat after the name; index 0 is the state. */
function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  return text && text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function everyone() {
  return fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number);
}

/** `pid` and all that descend from it. */
export function tree(pid) {
  const children = new Map();
  for (const each of everyone()) {
    const fields = stat(each);
    if (!fields) continue;
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), each]);
  }
  const found = [];
  const visit = each => {
    found.push(each);
    for (const child of children.get(each) ?? []) visit(child);
  };
  visit(pid);
  return found;
}

/** Client backends of one database below `postmaster`. */
export function backends(postmaster, database) {
  return tree(postmaster).filter(pid => {
    const title = read(`/proc/${pid}/cmdline`);
    return pid !== postmaster && title?.startsWith('postgres:') && title.includes(` ${database} `);
  });
}

/** Thread id → CPU nanoseconds; per process also the ticks that the kernel adds up over ended threads. */
function sample(pids) {
  const threads = new Map();
  const ticks = new Map();
  for (const pid of pids) {
    const fields = stat(pid);
    if (!fields) continue;
    ticks.set(pid, (Number(fields[11]) + Number(fields[12])) * TICK);
    let names = [];
    try {
      names = fs.readdirSync(`/proc/${pid}/task`);
    } catch { /* it just ended */ }
    for (const thread of names) {
      const text = read(`/proc/${pid}/task/${thread}/schedstat`);
      if (text) threads.set(`${pid}/${thread}`, Number(text.split(' ')[0]));
    }
  }
  return { threads, ticks };
}

/** Measures CPU of the processes that `list()` names, from now until `stop()`, in nanoseconds. */
export function measureCpu(list) {
  const before = sample(list());
  return () => {
    const after = sample(list());
    let precise = 0;
    for (const [thread, spent] of after.threads) precise += spent - (before.threads.get(thread) ?? 0);
    const lost = [...before.threads.keys()].some(thread => !after.threads.has(thread));
    if (!lost) return precise;
    let coarse = 0;
    for (const [pid, spent] of after.ticks) coarse += spent - (before.ticks.get(pid) ?? 0);
    return Math.max(precise, coarse);
  };
}

/** CPU of ended and reaped children of `pid`, ns, in steps of 10 ms. */
export function childrenCpu(pid) {
  const fields = stat(pid);
  return (Number(fields[13]) + Number(fields[14])) * TICK;
}

/** Resident memory of processes, MB. */
export function residentMegabytes(pids) {
  let kilobytes = 0;
  for (const pid of pids) {
    const text = read(`/proc/${pid}/status`);
    kilobytes += Number(/VmRSS:\s+(\d+)/.exec(text ?? '')?.[1] ?? 0);
  }
  return kilobytes / 1024;
}
