// What the contract is judged by: the rules of graphql-eslint that it keeps, and what a change of it breaks.
import { readFileSync } from 'node:fs';
import path from 'node:path';

import graphql from '@graphql-eslint/eslint-plugin';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { ESLint } from 'eslint';
import { buildSchema } from 'graphql';

export const root = path.resolve(import.meta.dirname, '../..');

// Types without an identity, which are read as a part of something else only. Everything else is a Node.
const values = {
  types: [
    ...['Money', 'MovieRating', 'PageInfo', 'PriceLine', 'Quote', 'QuotedPromotion', 'PromotionRefused', 'RateLimit', 'SeatPrice', 'SeatSuggestion'],
    ...['SeatRules', 'SelectionCheck', 'SelectionProblem', 'SeatMap', 'SeatMapSeat', 'SeatMapSnapshot', 'SeatMapDelta', 'SeatChange'],
    // Members of UserError: refusals.
    ...['EmailTaken', 'InvalidCredentials', 'LimitExceeded', 'SeatsUnavailable', 'ShowtimeClosed'],
    ...['PaymentDeclined', 'PaymentPending', 'PaymentRecovery', 'PaymentRedirect', 'PaymentClientConfirmation', 'ReservationExpired', 'SessionEnded'],
    ...['HoldLimitReached', 'PayLaterUnavailable', 'CancellationClosed', 'SwapUnavailable', 'SeatRuleBroken', 'CoolingDown', 'PriceTooHigh'],
    ...['UsernameTaken', 'SecondFactorRequired', 'InvalidProof', 'LinkExpired', 'NoPassword'],
    ...['ProviderSignInFailed', 'AccountExists', 'ProviderEmailUnverified', 'ProviderLinkTaken', 'LastWayToSignIn'],
    ...['ReservationsAhead', 'AccountInOffice', 'AccountDisabled', 'TooManyGrants', 'LastAdmin'],
    // What has no life of its own: a part of an account, a choice of the installation, a question that is answered once.
    ...['Profile', 'EmailChange', 'SignInProvider', 'PasskeyChallenge', 'RoleGrant', 'StaffMember'],
    ...['ReviewAspects', 'ReviewRating', 'ReviewEdit', 'ReviewReportCount', 'TicketRequired', 'AlreadyReviewed', 'ReviewHidden', 'ReviewReported'],
    // What staff may know of a reservation.
    ...['ReservationCustomer', 'CounterReceipt', 'TenderRefused', 'PayOutMethodRefused', 'PaymentUnderWay'],
    ...['ScreenOccupied', 'ShowtimeReserved'],
    ...['TheaterStatement', 'StatementMovement', 'StatementBalance'],
    // Gateways are named, not numbered.
    ...['PaymentOption', 'TheaterGateways', 'PaymentGateway'],
    'JobFailure',
    // Terms of a theater.
    ...['PayLaterPolicy', 'RefundPolicy', 'RefundPolicyStep', 'RefundStep', 'Refund', 'SeatRefund', 'RefundPreview', 'RetryRefundPayload', 'StoreCredit', 'StoreCreditMovement', 'AdjustStoreCreditPayload', 'SwapTerms', 'Swap', 'SwapPreview'],
    // What a mutation did, beside a refusal.
    'ChangePasswordPayload',
  ],
  suffixes: ['Connection', 'Edge', 'Payload'],
};

// Who may read a field, how long a list gets and how money is counted are rules of this house alone: graph/schema_test.go
// holds them.
const rules = {
  ...graphql.configs['flat/schema-recommended'].rules,
  ...graphql.configs['flat/schema-relay'].rules,
  // One line in quotation marks, a block where that is too long.
  '@graphql-eslint/description-style': 'off',
  '@graphql-eslint/input-name': ['error', { caseSensitiveInputType: false, checkInputType: true }],
  '@graphql-eslint/no-scalar-result-type-on-mutation': 'error',
  // A list that is bounded and short (the seats of a reservation) is a list; the others are connections.
  '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false }],
  '@graphql-eslint/require-description': [
    'error',
    {
      types: true,
      DirectiveDefinition: true,
      EnumValueDefinition: true,
      FieldDefinition: true,
      InputValueDefinition: true,
      rootField: true,
    },
  ],
  '@graphql-eslint/require-nullable-fields-with-oneof': 'error',
  '@graphql-eslint/strict-id-in-types': ['error', { exceptions: values }],
};

/** Returns a sentence for each breach of a rule in the SDL files that patterns name, which lie below folder. */
export async function lint(folder, ...patterns) {
  const eslint = new ESLint({
    cwd: folder,
    overrideConfigFile: true,
    overrideConfig: [
      {
        files: ['**/*.graphqls'],
        languageOptions: {
          parser: graphql.parser,
          parserOptions: { graphQLConfig: { schema: patterns.map((pattern) => path.join(folder, pattern)) } },
        },
        linterOptions: { reportUnusedDisableDirectives: 'error' },
        plugins: { '@graphql-eslint': graphql },
        rules,
      },
    ],
  });
  const results = await eslint.lintFiles(patterns);
  return results.flatMap(({ filePath, messages }) =>
    messages.map(
      ({ line, column, message, ruleId }) =>
        `${path.relative(folder, filePath)}:${line}:${column} ${message} (${ruleId ?? 'the parser'})`,
    ),
  );
}

/** The files of the contract. */
export const files = {
  sdl: path.join(root, 'docs/schema.graphql'),
  released: path.join(root, 'docs/schema.released.graphql'),
  accepted: path.join(root, 'docs/schema.breaking'),
};

/**
 * Compares two schemas. Accepted is the text of a list of breaks that were agreed to, one a line: the kind of change,
 * what it changes, and why; lines that begin with # are comments.
 *
 * Returns every change as { key, message, level }, the breaks that the list lacks, and its lines that break nothing,
 * which belong to an earlier release or to a mistake, or that give no reason.
 */
export async function compare(releasedSDL, sdl, accepted) {
  const changes = (await diff(buildSchema(releasedSDL), buildSchema(sdl))).map(
    ({ type, path: where, message, criticality }) => ({
      key: `${type} ${where ?? '-'}`,
      message,
      level: criticality.level,
    }),
  );
  const agreed = accepted.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const keyOf = (line) => line.split(/\s+/, 2).join(' ');
  const breaking = changes.filter(({ level }) => level === CriticalityLevel.Breaking);
  return {
    changes,
    refused: breaking.filter(({ key }) => !agreed.some((line) => keyOf(line) === key)),
    stale: agreed.filter((line) => line.split(/\s+/).length < 3 || !breaking.some(({ key }) => key === keyOf(line))),
  };
}

export const read = (file) => readFileSync(file, 'utf8');
