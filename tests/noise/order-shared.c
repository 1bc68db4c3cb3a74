//# what: as order, where all functions share a section
//# flags: -fno-function-sections -fno-data-sections -fno-toplevel-reorder
//# flags[clang]: -fno-function-sections -fno-data-sections
//# real: 0 changed function: second
int callee(int);
#ifdef REAL
#define ADD 3
#else
#define ADD 2
#endif
int one = 1, two = 2;
#ifndef NOISE
int first(int v) { return callee(v + one++) + 1; }
#endif
int second(int v) { if (v > 7) return v; return callee(v ^ two++) + ADD; }
#ifdef NOISE
int first(int v) { return callee(v + one++) + 1; }
#endif
