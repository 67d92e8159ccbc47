"""How far has the disease gone after a year? 442 people with diabetes, ten measurements each."""
