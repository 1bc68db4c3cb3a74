//# what: a function that was hot is unlikely, and the other way round
//# real: 0 changed function: work
#ifdef NOISE
#define WORK ".text.hot.work"
#define REST ".text.unlikely.rest"
#else
#define WORK ".text.unlikely.work"
#define REST ".text.hot.rest"
#endif
#ifdef REAL
#define FACTOR 5
#else
#define FACTOR 3
#endif
void out(const char *, int);
__attribute__((section(WORK), noinline)) int work(int v) { out("work", v); return v * FACTOR; }
__attribute__((section(REST), noinline)) int rest(int v) { out("rest", v); return v * 7; }
int user(int v) { return work(v) + rest(v); }
