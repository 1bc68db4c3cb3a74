//# what: the machine function splitter makes f.cold without a type; only f changed
//# build: plain
//# flags: -fprofile-instr-use=p.profdata -fsplit-machine-functions -Wno-profile-instr-unprofiled -Wno-profile-instr-out-of-date
//# needs: work.cold
//# changed: work
//@ p.proftext
work
# hash
11211998296
# counters
2
9000
0
//@ a.c
void out(const char *, int);
#ifdef PATCHED
#define FACTOR 5
#else
#define FACTOR 3
#endif
int work(int v)
{
	if (v > 1000) {
		out("slow", v);
		out("slower", v + FACTOR);
		return -1;
	}
	return v * 3;
}
