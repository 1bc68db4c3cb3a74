//# what: Propeller gives a function several symbols and sections; only work changed
//# build: plain
//# flags: -fbasic-block-sections=list=clusters.txt
//# needs: work.__part
//# changed: work
//@ clusters.txt
!work
!!0 2
!!1
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
	out("fast", v);
	return v * 3;
}
int other(int v)
{
	if (v)
		out("other", v);
	return v;
}
