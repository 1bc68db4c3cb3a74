/* Lines move, so that the hash of every promoted name changes and nothing else */
#ifdef PATCHED
/*
 * These lines are new.
 */
extern int unused;
#endif
int out(int);
static int count;
static __attribute__((noinline)) int helper(int x)
{
	count += x;
	return out(count) + out(x + 3);
}

int entry(int x)
{
	return helper(x) + 1;
}
