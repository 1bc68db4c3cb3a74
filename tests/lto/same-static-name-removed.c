//# what: as same-static-name, and the first of the files is gone
//# build: thin cache
//# changed: entry4
//@ d1/core.c orig
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { count += v; out("helper1", v); return v * 3; }
int entry1(int v) { return helper(v) + 7 + count; }
//@ d2/core.c
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { count += v; out("helper2", v); return v * 4; }
int entry2(int v) { return helper(v) + 7 + count; }
//@ d3/core.c
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { count += v; out("helper3", v); return v * 5; }
int entry3(int v) { return helper(v) + 7 + count; }
//@ d4/core.c
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { count += v; out("helper4", v); return v * 6; }
int entry4(int v) { return helper(v) + 
#ifdef PATCHED
	100 +
#endif
	7 + count; }
//@ d5/core.c
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { count += v; out("helper5", v); return v * 7; }
int entry5(int v) { return helper(v) + 7 + count; }
