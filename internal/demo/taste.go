package demo

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// appeal returns how well a film suits an hour of the day, 0 for not at all: children's films until the evening,
// horror from the late afternoon on, adults' films at night.
func appeal(f Film, hour int) uint64 {
	night := hour >= 20 || hour < 6
	switch {
	case f.Certificate == "NC-17":
		if night {
			return 4
		}
		return 0
	case f.Genre == "Horror":
		switch {
		case night:
			return 8
		case hour >= 17:
			return 4
		}
		return 0
	case forChildren(f):
		switch {
		case night:
			return 0
		case hour < 15:
			return 10
		case hour < 18:
			return 6
		}
		return 2
	case f.Certificate == "R" && hour < 14 && !night:
		return 1
	}
	return 4
}

func forChildren(f Film) bool { return f.Certificate == "G" || f.CreativeType == "Kids Fiction" }

// format draws one of the screen's formats that the film exists in; every film exists in 2D.
func format(f Film, offered []string, random *rand.Rand) string {
	possible := []string{Format2D}
	if slices.Contains(offered, Format3D) && in3D(f) {
		possible = append(possible, Format3D)
	}
	if slices.Contains(offered, FormatIMAX) && slices.Contains([]string{"Action", "Adventure", "Concert/Performance"}, f.Genre) {
		possible = append(possible, FormatIMAX)
	}
	return possible[random.IntN(len(possible))]
}

// in3D reports whether a film is to be had in three dimensions: some say so, and spectacles were filmed or converted.
func in3D(f Film) bool {
	if strings.Contains(f.Title, "3D") || strings.Contains(f.Title, "3-D") {
		return true
	}
	return slices.Contains([]string{"Action", "Adventure"}, f.Genre) &&
		slices.Contains([]string{"Fantasy", "Kids Fiction", "Science Fiction", "Super Hero"}, f.CreativeType)
}

// version returns the language a film is shown in and its subtitles, as the theaters of a country do it.
func version(f Film, country string, random *rand.Rand) (language, subtitles string) {
	original := originalLanguage(f.Title)
	audience, dub, dubbedOf10 := audienceOf(country)
	if forChildren(f) && dub == audience {
		dubbedOf10 = 10
	}
	switch {
	case !sameLanguage(original, dub) && random.IntN(10) < dubbedOf10:
		return dub, ""
	case sameLanguage(original, audience):
		return original, ""
	}
	return original, audience
}

// sameLanguage compares two BCP 47 tags without their regions.
func sameLanguage(a, b string) bool {
	a, _, _ = strings.Cut(a, "-")
	b, _, _ = strings.Cut(b, "-")
	return a == b
}

// audienceOf returns the language subtitles are in, the language films are dubbed into, "" where they are not, and how
// many of ten showings are.
func audienceOf(country string) (audience, dub string, dubbedOf10 int) {
	switch country {
	case "DE":
		return "de", "de", 8
	case "JP":
		return "ja", "ja", 3
	case "CL":
		return "es-419", "es-419", 4
	case "IN":
		return "en", "hi", 3
	case "KW":
		return "ar", "", 0
	}
	return "en", "", 0
}

// originalLanguage returns the language a film was shot in. The list does not say, so the films of it that are not in
// English and have a run time are named here.
func originalLanguage(title string) string {
	switch title {
	case "Banlieue 13", "Bienvenue chez les Ch'tis", "La marche de l'empereur", "Le Fabuleux destin d'Amélie Poulain", "Molière":
		return "fr"
	case "Crouching Tiger, Hidden Dragon", "Jet Li's Hero", "Man cheng jin dai huang jin jia", "Red Cliff", "Se jie", "Wu ji":
		return "zh"
	case "Fong juk", "Rumble in the Bronx":
		return "yue"
	case "Letters from Iwo Jima", "Pokemon 2000":
		return "ja"
	case "Ong-Bak 2", "Tom yum goong":
		return "th"
	case "Alatriste":
		return "es"
	case "Apocalypto":
		return "yua"
	case "Der Baader Meinhof Komplex":
		return "de"
	case "Flammen og Citronen":
		return "da"
	case "The Passion of the Christ":
		return "arc"
	}
	return "en"
}
