/* A local function is promoted because its caller is imported now */
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
