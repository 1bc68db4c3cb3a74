//# what: a function is unknown to the profile
//# real: 0 changed function: work
#if defined(NOISE)
#define PLACE ".text.unknown.work"
#elif defined(REAL)
#define PLACE ".noinstr.text"
#else
#define PLACE ".text.hot.work"
#endif
void out(const char *, int);
__attribute__((section(PLACE), noinline)) int work(int v) { out("work", v); return v * 3; }
int user(int v) { return work(v) + 1; }
