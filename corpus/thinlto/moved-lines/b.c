/* What inlined the caller of a promoted function refers to it by another name */
int entry(int);

int user(int x)
{
	return entry(x * 2) + 5;
}
