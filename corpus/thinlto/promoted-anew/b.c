/* The importer changes, and refers to what was local in the other file */
int entry(int);
int out(int);

int user(int x)
{
#ifndef PATCHED
	return out(x * 2) + 5;
#else
	return entry(x * 2) + 5;
#endif
}
