// Clocks that a test can set, of single processes: a library, compiled by the test, that stands before the C library's
// and adds what a file says.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const source = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds to add. */
static volatile long *shift;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("TEST_CLOCK");
  int file = name ? open(name, O_RDONLY) : -1;
  if (file < 0) return;
  void *at = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  if (at != MAP_FAILED) shift = at;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = syscall(SYS_clock_gettime, clock, at);
  if (!failed && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += *shift;
  return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  at->tv_sec = exact.tv_sec;
  at->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (at) *at = exact.tv_sec;
  return exact.tv_sec;
}
`;

/** Why there can be none, else false. */
export const noClocks = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)
  && spawnSync('cc', ['--version']).status === 0 ? false : 'needs Linux and a C compiler';

export class Clocks {
  constructor() {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-push-clock-'));
    fs.chmodSync(this.folder, 0o755);
    this.library = path.join(this.folder, 'clock.so');
    fs.writeFileSync(path.join(this.folder, 'clock.c'), source);
    const made = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', this.library, path.join(this.folder, 'clock.c')], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
  }

  /** A clock, right at first: `{environment, set(seconds)}`; a process with the environment goes by it. */
  make(name) {
    const file = path.join(this.folder, name);
    const set = seconds => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(seconds));
      // In place, for it is mapped.
      const opened = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w');
      fs.writeSync(opened, bytes, 0, 8, 0);
      fs.closeSync(opened);
    };
    set(0);
    return { environment: { LD_PRELOAD: this.library, TEST_CLOCK: file }, set };
  }

  stop() {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
