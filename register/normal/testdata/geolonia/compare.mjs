// Reads addresses from standard input, a line each, and writes what
// @geolonia/normalize-japanese-addresses makes of each as a line of JSON. Its place
// names come from the folder of the first argument, as file:// addresses.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(`${process.argv[3]}/`)
const { normalize, config } = require('@geolonia/normalize-japanese-addresses')
const { kanji2number } = require('@geolonia/japanese-numeral')
config.japaneseAddressesApi = pathToFileURL(`${process.argv[2]}/ja`).href
config.cacheSize = 5000

// It leaves the chome in kanji, 二丁目1-1; the key that is compared has 2-1-1.
const numbers = (rest) =>
  rest.replace(/^([〇一二三四五六七八九十百千]+)丁目-?/, (_, n) => `${kanji2number(n)}-`)

for await (const line of createInterface({ input: process.stdin })) {
  const { pref, city, town, addr, other, level } = await normalize(line)
  console.log(JSON.stringify({ pref, city, town, level, rest: numbers((addr ?? '') + (other ?? '')) }))
}
