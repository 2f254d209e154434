import unittest

import durations


class Parse(unittest.TestCase):
    def test_one_part(self):
        self.assertEqual(durations.parse("90s"), 90)
        self.assertEqual(durations.parse("5m"), 300)

    def test_several_parts(self):
        self.assertEqual(durations.parse("1h30m"), 5400)

    def test_what_is_no_duration(self):
        for text in ("", "m", "5", "5x", "5m!", "1h 30m"):
            with self.subTest(text), self.assertRaises(ValueError):
                durations.parse(text)


if __name__ == "__main__":
    unittest.main()
