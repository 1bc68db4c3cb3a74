//# what: sections and symbols come in another order
//# real: 0 changed function: second
int callee(int);
#ifdef REAL
#define ADD 3
#else
#define ADD 2
#endif
static int one, two;
#ifndef NOISE
int first(int v) { return callee(v + one++) + 1; }
#endif
int second(int v) { return callee(v ^ two++) + ADD; }
#ifdef NOISE
int first(int v) { return callee(v + one++) + 1; }
#endif
