//# what: static locals of one name, used by code that shares a section, belong to their files in whatever order these are linked
//# build: plain
//# order: reversed
//# changed: second
//# needs: step.count
//@ a/one.c
extern int sink(int *);
__attribute__((section(".shared.text"))) static __attribute__((noinline)) int step(int x)
{
	static int count;
	count += x;
	return sink(&count);
}
int first(int x) { return step(x) + 1; }
//@ b/two.c
extern int sink(int *);
__attribute__((section(".shared.text"))) static __attribute__((noinline)) int step(int x)
{
	static int count;
	count ^= x;
	return sink(&count) * 5;
}
#ifdef PATCHED
int second(int x) { return step(x) + 7; }
#else
int second(int x) { return step(x) + 3; }
#endif
