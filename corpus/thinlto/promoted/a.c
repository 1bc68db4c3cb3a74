/* A promoted function changes: its name has another hash after every edit */
int out(int);
static int count;
static __attribute__((noinline)) int helper(int x)
{
	count += x;
#ifdef PATCHED
	if (x > 100)
		return -1;
#endif
	return out(count) + out(x + 3);
}

int entry(int x)
{
	return helper(x) + 1;
}
