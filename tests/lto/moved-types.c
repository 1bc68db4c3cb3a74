//# what: a function moves between files with groups of debug information
//# build: plain
//# also: gcc-12
//# flags: -g -fdebug-types-section -gdwarf-5
//# changed: edited
//@ a.c
struct state { int level; struct state *next; } state;
int helper(struct state *);
int stays(int v) { state.level++; return helper(&state) * 3; }
#ifndef PATCHED
int moves(int v) { return helper(&state) + v; }
#endif
//@ b.c
struct state { int level; struct state *next; };
extern struct state state;
int helper(struct state *);
#ifdef PATCHED
#define N 5
#else
#define N 7
#endif
int edited(int v) { return helper(&state) - N; }
#ifdef PATCHED
int moves(int v) { return helper(&state) + v; }
#endif
