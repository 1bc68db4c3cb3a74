/* The same source, but the function that was inlined changed */
int entry(int);

int user(int x)
{
	return entry(x * 2) + 5;
}
