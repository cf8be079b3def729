int demo_choose(int a)
{
	return a + 1;
}
