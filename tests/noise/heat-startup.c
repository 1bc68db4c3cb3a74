//# what: a function that runs at start is kept apart
//# real: 2 symbol changed sections: work
#if defined(NOISE)
#define PLACE ".text.startup.work"
#elif defined(REAL)
#define PLACE ".text.startup"
#else
#define PLACE ".text.work"
#endif
void out(const char *, int);
__attribute__((section(PLACE), noinline)) int work(int v) { out("work", v); return v * 3; }
int user(int v) { return work(v) + 1; }
