/* A function that another file inlines changes */
int out(int);

int entry(int x)
{
#ifdef PATCHED
	if (x < 0)
		return 0;
#endif
	return out(x) + 1;
}
