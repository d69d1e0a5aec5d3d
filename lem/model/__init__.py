"""The network: shared market context, eight heads. It knows neither training nor gate."""
