// What Relay asks. relay-compiler reads it, checks it against docs/schema.graphql and writes what the runtime executes
// beside it, into __generated__; nothing imports this file.
import { graphql } from 'relay-runtime';

graphql`
  query operationsMoviesQuery($first: Int!) {
    ...operationsMovies_page @arguments(first: $first)
  }
`;

graphql`
  fragment operationsMovies_page on Query
  @argumentDefinitions(first: { type: "Int!" }, after: { type: "String" })
  @refetchable(queryName: "operationsMoviesPageQuery") {
    movies(first: $first, after: $after) @connection(key: "operationsMovies_movies") {
      edges {
        cursor
        node {
          id
          title
        }
      }
      pageInfo {
        endCursor
        hasNextPage
      }
    }
  }
`;

graphql`
  query operationsShowtimeQuery($id: ID!) {
    node(id: $id) {
      ...operationsShowtime_state @alias(as: "showtime")
    }
  }
`;

graphql`
  fragment operationsShowtime_state on Showtime @refetchable(queryName: "operationsShowtimeStateQuery") {
    startsAt
    status
    movie {
      title
    }
  }
`;

graphql`
  mutation operationsConfirmSignUpMutation($input: ConfirmSignUpInput!) {
    confirmSignUp(input: $input) {
      __typename
      ... on SessionPayload {
        token
        user {
          id
          name
        }
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;

graphql`
  mutation operationsReserveMutation($input: ReserveSeatsInput!) {
    reserveSeats(input: $input) {
      __typename
      ... on ReserveSeatsPayload {
        reservation {
          id
          status
          seats {
            id
          }
        }
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;

graphql`
  subscription operationsSeatMapSubscription($id: ID!) {
    seatMapChanged(showtimeId: $id) {
      __typename
      ... on SeatMapSnapshot {
        version
        seatMap {
          availableCount
        }
      }
      ... on SeatMapDelta {
        fromVersion
        version
        changes {
          seatId
          state
        }
      }
    }
  }
`;
