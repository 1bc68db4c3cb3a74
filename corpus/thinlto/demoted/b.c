/* The importer changes */
int entry(int);
int out(int);

int user(int x)
{
#ifdef PATCHED
	return out(x * 2) + 5;
#else
	return entry(x * 2) + 5;
#endif
}
