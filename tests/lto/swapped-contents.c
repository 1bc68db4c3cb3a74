//# what: two static functions of one name, in files of one name, swap what they do
//# changed: helper
//@ x/core.c
static int count;
#ifdef PATCHED
#define DO(v) ((v) * 5 + 1)
#else
#define DO(v) ((v) ^ 77)
#endif
void out(const char *, int);
static int __attribute__((noinline)) helper(int v) { count++; out("helper", count); return DO(v); }
int entry_x(int v) { return helper(v) + 1; }
//@ y/core.c
static int count;
#ifdef PATCHED
#define DO(v) ((v) ^ 77)
#else
#define DO(v) ((v) * 5 + 1)
#endif
void out(const char *, int);
static int __attribute__((noinline)) helper(int v) { count++; out("helper", count); return DO(v); }
int entry_y(int v) { return helper(v) + 2; }
