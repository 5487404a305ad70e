"""Words about photographs: what can be measured, the sentences that say it, and the encoder that knows both."""
