package demo

import "time"

// theaterTable lists the theaters of the demo world.
func theaterTable() []site {
	return []site{
		{
			Theater: Theater{
				Key: "london-lantern", Name: "The Lantern, South Bank", City: "London", CountryCode: "GB",
				Address: "14 Belvedere Quay, London SE1 8XL",
				Zone:    "Europe/London", Currency: "GBP", Lat: 51.5055, Lon: -0.1160, Opens: clock(10, 0), Closes: clock(24, 30),
			},
			tariff: tariff{standard: 1350, premium: 1650, recliner: 2000, loveSeat: 1900},
			screens: []screenPlan{
				{
					name: "Screen 1", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 450, trailers: 20, cleaning: 25,
					seats: seatPlan{rows: 16, centre: 14, wings: [2]int{3, 6}, crossAisle: 5, premium: [2]int{9, 13}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 150, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 14, centre: 10, wings: [2]int{3, 5}, crossAisle: 4, premium: [2]int{7, 11}, recliners: 1, wheelchairs: 4},
				},
				{
					name: "Screen 3", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 11, centre: 8, wings: [2]int{2, 4}, premium: [2]int{6, 9}, wheelchairs: 2},
				},
				{
					name: "The Study", formats: []string{Format2D}, supplement: 200, trailers: 10, cleaning: 20,
					seats: seatPlan{rows: 9, wings: [2]int{4, 6}, aisle: true, recliners: 9, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "london-meridian", Name: "Meridian Picture House Camden", City: "London", CountryCode: "GB",
				Address: "231 Lock Parade, London NW1 7HT",
				Zone:    "Europe/London", Currency: "GBP", Lat: 51.5390, Lon: -0.1426, Opens: clock(10, 30), Closes: clock(24, 0),
			},
			tariff: tariff{standard: 1100, premium: 1400, recliner: 1700, loveSeat: 1600},
			screens: []screenPlan{
				{
					name: "Screen 1", formats: []string{Format2D, Format3D}, supplement: 100, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 13, centre: 8, wings: [2]int{4, 6}, crossAisle: 4, premium: [2]int{7, 10}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 12, wings: [2]int{5, 8}, aisle: true, premium: [2]int{6, 9}, wheelchairs: 2},
				},
				{
					name: "Screen 3", formats: []string{Format2D}, standard: 951, trailers: 10, cleaning: 15,
					seats: seatPlan{rows: 8, wings: [2]int{5, 6}, premium: [2]int{5, 7}, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "newyork-hudson", Name: "Hudson Palace", City: "New York", CountryCode: "US",
				Address: "610 West 45th Street, New York, NY 10036",
				Zone:    "America/New_York", Currency: "USD", Lat: 40.7610, Lon: -73.9950, Opens: clock(10, 0), Closes: clock(25, 30),
			},
			tariff: tariff{standard: 1750, premium: 2100, recliner: 2400, loveSeat: 2300},
			screens: []screenPlan{
				{
					name: "Palace", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 600, trailers: 20, cleaning: 25,
					seats: seatPlan{rows: 18, centre: 14, wings: [2]int{2, 5}, crossAisle: 6, premium: [2]int{10, 15}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 200, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 15, centre: 12, wings: [2]int{3, 5}, crossAisle: 5, premium: [2]int{8, 12}, wheelchairs: 4},
				},
				{
					name: "Screen 3", formats: []string{Format2D, Format3D}, supplement: 200, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 14, centre: 10, wings: [2]int{3, 6}, crossAisle: 4, premium: [2]int{8, 12}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Screen 4", formats: []string{Format2D}, trailers: 20, cleaning: 15,
					seats: seatPlan{rows: 12, centre: 8, wings: [2]int{2, 4}, premium: [2]int{6, 9}, wheelchairs: 2},
				},
				{
					name: "Screen 5", formats: []string{Format2D}, trailers: 20, cleaning: 15,
					seats: seatPlan{rows: 10, wings: [2]int{5, 7}, aisle: true, recliners: 10, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "newyork-cobblehill", Name: "Cobble Hill Electric", City: "New York", CountryCode: "US",
				Address: "88 Verandah Place, Brooklyn, NY 11201",
				Zone:    "America/New_York", Currency: "USD", Lat: 40.6865, Lon: -73.9962, Opens: clock(11, 0), Closes: clock(24, 30),
			},
			tariff: tariff{standard: 1500, premium: 1800, recliner: 2100, loveSeat: 2000},
			screens: []screenPlan{
				{
					name: "Screen 1", formats: []string{Format2D, Format3D}, supplement: 100, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 12, wings: [2]int{7, 10}, aisle: true, crossAisle: 4, premium: [2]int{7, 10}, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 11, wings: [2]int{4, 7}, aisle: true, premium: [2]int{6, 9}, wheelchairs: 2},
				},
				{
					name: "The Parlour", formats: []string{Format2D}, supplement: 300, trailers: 10, cleaning: 20,
					seats: seatPlan{rows: 8, wings: [2]int{4, 6}, aisle: true, recliners: 7, loveSeats: true, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "losangeles-sunset", Name: "Sunset Arcade", City: "Los Angeles", CountryCode: "US",
				Address: "6420 Cahuenga Terrace, Los Angeles, CA 90028",
				Zone:    "America/Los_Angeles", Currency: "USD", Lat: 34.0983, Lon: -118.3267, Opens: clock(10, 0), Closes: clock(26, 0),
			},
			tariff: tariff{standard: 1700, premium: 2050, recliner: 2400, loveSeat: 2250},
			screens: []screenPlan{
				{
					name: "Arcade IMAX", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 600, trailers: 20, cleaning: 25,
					seats: seatPlan{rows: 16, centre: 16, wings: [2]int{2, 4}, crossAisle: 5, premium: [2]int{8, 13}, recliners: 1, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 250, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 15, centre: 10, wings: [2]int{3, 6}, crossAisle: 5, premium: [2]int{8, 13}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Screen 3", formats: []string{Format2D, Format3D}, supplement: 250, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 13, centre: 10, wings: [2]int{2, 5}, crossAisle: 4, premium: [2]int{7, 11}, wheelchairs: 4},
				},
				{
					name: "Screen 4", formats: []string{Format2D}, trailers: 20, cleaning: 15,
					seats: seatPlan{rows: 11, centre: 8, wings: [2]int{2, 4}, premium: [2]int{6, 9}, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "tokyo-hoshinoza", Name: "Hoshi-no-Za Shinjuku", City: "Tokyo", CountryCode: "JP",
				Address: "3-17-5 Hoshikage-dori, Shinjuku-ku, Tokyo 160-0022",
				Zone:    "Asia/Tokyo", Currency: "JPY", Lat: 35.6917, Lon: 139.7036, Opens: clock(8, 30), Closes: clock(24, 30),
			},
			tariff: tariff{standard: 1900, premium: 2300, recliner: 2900, loveSeat: 2700},
			screens: []screenPlan{
				{
					name: "Screen 1", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 700, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 16, centre: 14, wings: [2]int{4, 6}, crossAisle: 5, premium: [2]int{9, 12}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 300, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 14, centre: 12, wings: [2]int{3, 5}, crossAisle: 5, premium: [2]int{8, 11}, wheelchairs: 4},
				},
				{
					name: "Screen 3", formats: []string{Format2D, Format3D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 12, centre: 10, wings: [2]int{2, 4}, crossAisle: 3, premium: [2]int{6, 9}, loveSeats: true, wheelchairs: 2},
				},
				{
					name: "Screen 4", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 10, centre: 8, wings: [2]int{2, 3}, premium: [2]int{5, 8}, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "kuwait-nakheel", Name: "Al Nakheel Grand", City: "Kuwait City", CountryCode: "KW",
				Address: "Block 3, Al Murjan Street 27, Kuwait City 13034",
				Zone:    "Asia/Kuwait", Currency: "KWD", Lat: 29.3720, Lon: 47.9785, Opens: clock(12, 0), Closes: clock(26, 0),
			},
			tariff: tariff{standard: 3500, premium: 4500, recliner: 6000, loveSeat: 5500},
			screens: []screenPlan{
				{
					name: "Grand", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 1500, trailers: 15, cleaning: 25,
					seats: seatPlan{rows: 15, centre: 12, wings: [2]int{3, 5}, crossAisle: 5, premium: [2]int{8, 11}, recliners: 3, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 500, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 13, centre: 10, wings: [2]int{2, 4}, crossAisle: 4, premium: [2]int{7, 11}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Diwan", formats: []string{Format2D}, supplement: 2000, trailers: 10, cleaning: 25,
					seats: seatPlan{rows: 8, wings: [2]int{5, 7}, aisle: true, recliners: 8, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "berlin-spreebogen", Name: "Lichtspielhaus Spreebogen", City: "Berlin", CountryCode: "DE",
				Address: "Am Spreebogen 9, 10557 Berlin",
				Zone:    "Europe/Berlin", Currency: "EUR", Lat: 52.5219, Lon: 13.3720, Opens: clock(11, 0), Closes: clock(25, 0),
			},
			tariff: tariff{standard: 1250, premium: 1450, recliner: 1800, loveSeat: 1700},
			screens: []screenPlan{
				{
					name: "Saal 1", formats: []string{Format2D, Format3D}, supplement: 200, trailers: 25, cleaning: 20,
					seats: seatPlan{rows: 16, centre: 12, wings: [2]int{4, 6}, crossAisle: 6, premium: [2]int{9, 13}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Saal 2", formats: []string{Format2D, Format3D}, supplement: 100, trailers: 25, cleaning: 15,
					seats: seatPlan{rows: 13, wings: [2]int{6, 9}, aisle: true, crossAisle: 5, premium: [2]int{7, 11}, wheelchairs: 4},
				},
				{
					name: "Studio", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 9, wings: [2]int{5, 7}, premium: [2]int{5, 8}, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "mumbai-raag", Name: "Raag Talkies", City: "Mumbai", CountryCode: "IN",
				Address: "42 Sitaram Mill Lane, Lower Parel, Mumbai 400013",
				Zone:    "Asia/Kolkata", Currency: "INR", Lat: 18.9967, Lon: 72.8258, Opens: clock(9, 0), Closes: clock(25, 30),
			},
			tariff: tariff{standard: 35000, premium: 45000, recliner: 70000, loveSeat: 60000},
			screens: []screenPlan{
				{
					name: "Audi 1", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 15000, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 18, centre: 14, wings: [2]int{2, 5}, crossAisle: 6, premium: [2]int{9, 15}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Audi 2", formats: []string{Format2D, Format3D}, supplement: 5000, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 15, centre: 10, wings: [2]int{3, 5}, crossAisle: 5, premium: [2]int{8, 12}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Audi 3", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 12, wings: [2]int{6, 10}, aisle: true, premium: [2]int{7, 11}, loveSeats: true, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "bengaluru-neelam", Name: "Neelam Chitramandira", City: "Bengaluru", CountryCode: "IN",
				Address: "117 Gandhi Bazaar Cross Road, Bengaluru 560004",
				Zone:    "Asia/Kolkata", Currency: "INR", Lat: 12.9450, Lon: 77.5710, Opens: clock(9, 30), Closes: clock(25, 0),
			},
			tariff: tariff{standard: 28000, premium: 36000, recliner: 55000, loveSeat: 48000},
			screens: []screenPlan{
				{
					name: "Audi 1", formats: []string{Format2D, Format3D}, supplement: 8000, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 17, centre: 12, wings: [2]int{3, 6}, crossAisle: 6, premium: [2]int{9, 14}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Audi 2", formats: []string{Format2D, Format3D}, supplement: 4000, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 13, centre: 10, wings: [2]int{2, 4}, crossAisle: 4, premium: [2]int{7, 11}, wheelchairs: 4},
				},
				{
					name: "Audi 3", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 10, wings: [2]int{5, 8}, aisle: true, premium: [2]int{6, 8}, loveSeats: true, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "sydney-harbourlights", Name: "Harbour Lights", City: "Sydney", CountryCode: "AU",
				Address: "5 Windmill Steps, Millers Point NSW 2000",
				Zone:    "Australia/Sydney", Currency: "AUD", Lat: -33.8591, Lon: 151.2044, Opens: clock(9, 30), Closes: clock(24, 0),
			},
			tariff: tariff{standard: 2450, premium: 2850, recliner: 3500, loveSeat: 3300},
			screens: []screenPlan{
				{
					name: "Screen 1", formats: []string{Format2D, Format3D, FormatIMAX}, supplement: 700, trailers: 20, cleaning: 20,
					seats: seatPlan{rows: 16, centre: 12, wings: [2]int{3, 6}, crossAisle: 5, premium: [2]int{8, 12}, recliners: 2, wheelchairs: 4},
				},
				{
					name: "Screen 2", formats: []string{Format2D, Format3D}, supplement: 300, trailers: 20, cleaning: 15,
					seats: seatPlan{rows: 12, centre: 10, wings: [2]int{2, 4}, crossAisle: 4, premium: [2]int{6, 10}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Screen 3", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 9, wings: [2]int{5, 7}, aisle: true, premium: [2]int{5, 8}, wheelchairs: 2},
				},
			},
		},
		{
			Theater: Theater{
				Key: "santiago-cordillera", Name: "Cine Cordillera", City: "Santiago", CountryCode: "CL",
				Address: "Pasaje Los Arrayanes 1450, Providencia, Santiago",
				Zone:    "America/Santiago", Currency: "CLP", Lat: -33.4263, Lon: -70.6200, Opens: clock(11, 0), Closes: clock(24, 30),
			},
			tariff: tariff{standard: 6500, premium: 7900, recliner: 11900, loveSeat: 10900},
			screens: []screenPlan{
				{
					name: "Sala 1", formats: []string{Format2D, Format3D}, supplement: 1500, trailers: 15, cleaning: 20,
					seats: seatPlan{rows: 14, centre: 12, wings: [2]int{3, 6}, crossAisle: 5, premium: [2]int{8, 11}, loveSeats: true, wheelchairs: 4},
				},
				{
					name: "Sala 2", formats: []string{Format2D}, trailers: 15, cleaning: 15,
					seats: seatPlan{rows: 10, wings: [2]int{6, 8}, aisle: true, premium: [2]int{6, 9}, wheelchairs: 2},
				},
			},
		},
	}
}

// clock returns a wall time as an offset from local midnight; hours past 24 belong to the night before.
func clock(hours, minutes int) time.Duration {
	return time.Duration(hours*60+minutes) * time.Minute
}
