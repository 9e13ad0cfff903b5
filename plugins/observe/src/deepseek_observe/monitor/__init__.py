"""`ds-sdk monitor`: samples of devices and events of engines, as metrics, a page and a history."""
