"""What `lem serve` and `lem ui` share: where they listen, whom they answer, how long they wait."""
